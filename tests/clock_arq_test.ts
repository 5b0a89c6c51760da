/**
 * The clock of the machine on which an operator runs `arq` is hours ahead or behind: `--since 5m` still means the bus's
 * last five minutes, and `--in 10m` its next ten.
 */
import assert from "node:assert/strict";
import { runArq, succeeds } from "../arq/testing/run_arq.ts";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { openText } from "./peers/raw_client.ts";
import { createWallClock } from "./wall_clock.ts";

const CONFIG = `
[usage]
enabled = true
#constant usage.flush_ms = 50
[journal]
journal = "all"
#constant journal.flush_ms = 50
`;
const MINUTE_MS = 60_000;
const AHEAD_S = [7_200, -7_200];

Deno.test("arq: spans of time are counted by the bus's clock, not by the operator's", async () => {
  await using dir = await temporaryFolder();
  const clock = await createWallClock(dir.path);
  if (clock === undefined) return;
  await using bus = await startLocalBus(CONFIG);
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const given = ["--admin-url", bus.admin_url, "--token", token, "--json"];
  const arq = async (...args: string[]) => {
    const { code, stdout, stderr } = await runArq([...args, ...given], { env: clock.env });
    return { code, stdout, stderr };
  };
  const shown = async (...args: string[]) => succeeds(await arq(...args));
  using client = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  client.send({ op: "sub", room: "lobby", id: 1 });
  client.send({ op: "pub", room: "lobby", type: "t", id: 2, message_id: "m-1" });
  for (let left = 3; left > 0; left--) assert.equal((await client.json()).code ?? 0, 0);
  for (const ahead_s of AHEAD_S) {
    await clock.set(ahead_s);
    const before_ms = Date.now();
    const { schedule: { next_ms } } = JSON.parse(
      await shown("schedule", "add", "lobby", "{}", "--type", "t", "--id", "s", "--in", "10m"),
    );
    const revoked = ["auth", "revoke", "--user", "bob", "--for", "10m"];
    const { revocation: { until_ms } } = JSON.parse(await shown(...revoked));
    for (const at_ms of [next_ms, until_ms]) {
      assert.ok(at_ms > before_ms + 10 * MINUTE_MS - 2_000, `${at_ms - before_ms} at ${ahead_s}`);
      assert.ok(at_ms < Date.now() + 10 * MINUTE_MS + 2_000, `${at_ms - before_ms}`);
    }
    assert.match(await shown("audit", "--since", "5m"), /revocation/);
    const why = ["why", "--user", "ann", "--room", "lobby", "--since", "5m"];
    assert.match(await shown(...why), /"due":[1-9]/);
    await until("the journal has it", async () => {
      const { stdout } = await arq("journal", "--since", "5m", "--message-id", "m-1");
      return stdout.includes("m-1");
    });
    await until("its use is reported", async () => {
      const { total } = JSON.parse(await shown("usage", "--since", "5m"));
      return total.messages_in > 0;
    });
  }
});
