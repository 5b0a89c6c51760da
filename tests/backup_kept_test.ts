/**
 * What an embedded restore leaves in its folder, with what belongs to it: the journal and its keys, the ledger of usage
 * and its prices. On NATS these are streams of their own, which a restore leaves (`backup_nats_test.ts`).
 */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
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
const NAMES = ["spine.sqlite", "log.sqlite", "audit.sqlite", "usage.sqlite"];

const filesIn = (data_dir: string) =>
  Promise.all(NAMES.map((name) => Deno.readFile(`${data_dir}/${name}`)));

/** Restores these files; returns what was there and stays. */
async function restoreInto(
  data_dir: string,
  saved: readonly Uint8Array<ArrayBuffer>[],
  suffix: string,
) {
  const restorer = new DataRestorer(data_dir);
  await restorer.open();
  for (const [at, name] of NAMES.entries()) {
    const bytes = saved[at]!;
    const file = { path: `data/${name}`, size_bytes: bytes.length };
    await restorer.onFile({ ...file, bytes: ReadableStream.from([bytes]) });
  }
  try {
    await restorer.finish(suffix);
  } catch (error) {
    // A process that was killed holds no lock.
    await restorer.abandon();
    throw error;
  }
  return restorer.left;
}

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
  const saved = await filesIn(data_dir);
  await life(2, 2, "bob", 3);
  assert.deepEqual(await restoreInto(data_dir, saved, "test"), ["usage.sqlite"]);
  await life(4, 2, undefined, 3);
  const lines = await journalLines({ server: { data_dir } }, "default");
  const users = lines.map((line) => isHole(line) ? line.hole.why : line.sender?.user ?? "nobody");
  assert.deepEqual(users, ["ann", "bob"]);
});

/** The keys of the journal's users in a folder. */
function keysIn(data_dir: string): readonly unknown[] {
  const database = new DatabaseSync(`${data_dir}/spine.sqlite`, { readOnly: true });
  try {
    const query = "SELECT key, value FROM entry WHERE bucket = 'ARQON_JOURNAL_KEYS' ORDER BY key";
    return database.prepare(query).all();
  } finally {
    database.close();
  }
}

Deno.test("a restore that was cut off between any two of its files, and repeated, keeps the journal's keys", async () => {
  await using folder = await temporaryFolder();
  const data_dir = folder.path;
  const life = async (user: string) => {
    const config = '[journal]\njournal = "all"\n[usage]\nenabled = true\n';
    await using bus = await startLocalBus(config, { data_dir });
    const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ user }));
    assert.equal((await peer.call("POST", "rooms/hall/messages", { type: "t" })).status, 200);
  };
  await life("ann");
  const saved = await filesIn(data_dir);
  await life("bob");
  const keys = keysIn(data_dir);
  assert.ok(keys.length > 1);
  const { rename } = Deno;
  for (let cut = 0; cut < 8; cut++) {
    // The last time the backup's ledger of use is restored, too.
    if (cut === 7) await Deno.remove(`${data_dir}/usage.sqlite`);
    let renames = 0;
    Object.assign(Deno, {
      rename: (from: string, to: string) =>
        renames++ < cut ? rename(from, to) : Promise.reject(new Error("killed")),
    });
    try {
      await assert.rejects(restoreInto(data_dir, saved, `cut-${cut}`), /killed/);
    } finally {
      Object.assign(Deno, { rename });
    }
    const left = await restoreInto(data_dir, saved, `again-${cut}`);
    assert.deepEqual(left, cut === 7 ? [] : ["usage.sqlite"], `cut at ${cut}`);
    assert.deepEqual(keysIn(data_dir), keys, `cut at ${cut}`);
  }
});
