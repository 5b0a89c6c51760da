/**
 * What an embedded restore leaves in its folder, with what belongs to it: the journal and its keys, the ledger of usage
 * and its prices. On NATS these are streams of their own, which a restore leaves (`backup_nats_test.ts`).
 */
import assert from "node:assert/strict";
import { DataRestorer } from "../shared/backup/embedded_restore.ts";
import { isHole } from "../shared/journal/record.ts";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { seen } from "../shared/testing/until.ts";
import { journalLines } from "./harness/journal_lines.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { send } from "./peers/own_connections.ts";

const DAY_MS = 86_400_000;
const FOR_DAYS = { ttl_seconds: 864_000 };

Deno.test("a restore leaves the journal readable, and use at the prices of its day", async () => {
  await using folder = await temporaryFolder();
  const data_dir = folder.path;
  /** A bus on that day, with that price: `user` publishes, then all use costs `cost`. */
  const life = async (days: number, price: number, user: string | undefined, cost: number) => {
    const now = () => Date.now() + days * DAY_MS;
    const usage = `[usage]\nenabled = true\n[usage.prices]\nmessages_in = ${price}\n`;
    const config = `[journal]\njournal = "all"\n${usage}#constant usage.flush_ms = 50\n`;
    await using bus = await startLocalBus(config, { data_dir, now });
    if (user !== undefined) {
      const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ user, ...FOR_DAYS }));
      assert.equal((await peer.call("POST", "rooms/hall/messages", { type: "t" })).status, 200);
    }
    const root = await bus.tokenFor({ user: "root", role: "admin", ...FOR_DAYS });
    const url = `${bus.admin_url}/v1/usage?tenant=default&since_ms=0`;
    const total = async () => (await (await send(url, root, "GET")).json()).total;
    const found = await seen("it is counted", total, ({ cost: found }) => found === cost);
    assert.equal(found.cost, cost);
  };
  await life(0, 1, "ann", 1);
  const names = ["spine.sqlite", "log.sqlite", "usage.sqlite"];
  const saved = await Promise.all(names.map((name) => Deno.readFile(`${data_dir}/${name}`)));
  await life(2, 2, "bob", 3);
  const restorer = new DataRestorer(data_dir);
  await restorer.open();
  for (const [at, name] of names.entries()) {
    const bytes = saved[at]!;
    const file = { path: `data/${name}`, size_bytes: bytes.length };
    await restorer.onFile({ ...file, bytes: ReadableStream.from([bytes]) });
  }
  await restorer.finish("test");
  assert.deepEqual(restorer.left, ["usage.sqlite"]);
  await life(4, 2, undefined, 3);
  const lines = await journalLines({ server: { data_dir } }, "default");
  const users = lines.map((line) => isHole(line) ? line.hole.why : line.sender?.user ?? "nobody");
  assert.deepEqual(users, ["ann", "bob"]);
});
