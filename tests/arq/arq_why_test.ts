/** `arq why` against a real bus: what it shows of a message and of a user, and how it ends. */
import assert from "node:assert/strict";
import { runArq } from "../../arq/testing/run_arq.ts";
import { startBus } from "../harness/bus.ts";
import { openText } from "../peers/raw_client.ts";
import type { RawClient } from "../peers/raw_client.ts";

async function ask(client: RawClient, operation: object): Promise<void> {
  client.send({ ...operation, id: 1 });
  for (;;) {
    const answer = await client.json();
    if (answer.op !== "ack") continue;
    assert.equal(answer.code, 0, answer.message);
    return;
  }
}

Deno.test("arq why tells who got a message, who did not, and how far back it can tell", async () => {
  await using bus = await startBus();
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const why = (...args: string[]) =>
    runArq(["why", ...args, "--admin-url", bus.admin_url, "--token", token]);
  using ann = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  using bob = await openText(bus.url, await bus.tokenFor({ user: "bob" }));
  await ask(ann, { op: "sub", room: "hall", no_echo: true });
  await ask(bob, { op: "sub", room: "hall" });
  for (const message_id of ["one", "two"]) {
    await ask(ann, { op: "pub", room: "hall", type: "t", data: 1, message_id });
  }
  const sent = await why("--message-id", "one", "--user", "bob");
  assert.equal(sent.code, 0, sent.stderr);
  assert.match(sent.stdout, /^message in hall: message_id one, trace [0-9a-f]{32}, twist /);
  assert.match(sent.stdout, /\n {2}sent 20\d\d-.*Z \(MSG\)\n/);
  assert.match(sent.stdout, /\nledger of \S+ since 20\d\d-/);
  const echo = await why("--message-id", "one", "--user", "ann");
  assert.match(echo.stdout, /left out: its publisher wants no echo/);
  const all = await why("--user", "bob", "--room", "hall", "--since", "10m");
  assert.match(all.stdout, /subscribed .* to now\n {2}due 2, sent 2, not sent 0\n/);
  await ask(bob, { op: "unsub", room: "hall" });
  await ask(ann, { op: "pub", room: "hall", type: "t", data: 1, message_id: "three" });
  const late = await why("--message-id", "three", "--user", "bob", "--json");
  const { connections } = JSON.parse(late.stdout);
  assert.deepEqual(
    [connections[0].outcomes[0].state, connections[0].outcomes[0].why],
    ["not_subscribed", "unsubscribed"],
  );
  const unknown = await why("--message-id", "none");
  assert.equal(unknown.code, 1);
  assert.match(unknown.stdout, /^no Shield's ledger knows of it\nledger of /);
  for (
    const args of [
      [],
      ["--offset", "1"],
      ["--trace", "a", "--twist", "b"],
      ["--user", "a", "--connection", "b"],
      ["--user", "a", "--since", "1m"],
      ["--message-id", "a", "--since", "1m"],
    ]
  ) {
    assert.equal((await why(...args)).code, 2, args.join(" "));
  }
  const user = ["--admin-url", bus.admin_url, "--token", bus.token];
  assert.equal((await runArq(["why", "--user", "bob", ...user])).code, 3);
});
