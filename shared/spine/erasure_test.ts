/**
 * What is erased from a log is in no file of its engine any more: not in the databases of the embedded engine or their
 * logs, and not in the blocks of a NATS server's streams.
 */
import assert from "node:assert/strict";
import { startNats } from "../../tests/harness/nats_server.ts";
import { createLogger } from "../logs/log.ts";
import { findBytes } from "../testing/find_bytes.ts";
import { bytes } from "./conformance/conformance.ts";
import type { DurableLog } from "./contract/durable_log.ts";
import type { Spine } from "./contract/spine.ts";
import { openEmbedded } from "./embedded/embedded.ts";
import { logEngine, readAll, RETENTION } from "./nats/testing/nats_log_harness.ts";

const log = createLogger({
  ...{ level: "error", format: "logfmt", component: "spine", now: Date.now, write: () => {} },
});
const ROOMS = ["one", "two", "three"];
const WANTED = 50;

const plantedIn = (n: number) => `planted-${n}-a-secret-of-somebody`;
const PLANTED = Array.from({ length: WANTED }, (_, n) => plantedIn(n));

/** Every 20th message has what is to be erased; sizes go from a line to several pages. */
async function plant(log: DurableLog): Promise<Map<string, number[]>> {
  const offsets = new Map<string, number[]>(ROOMS.map((room) => [room, []]));
  for (let n = 0; n < WANTED * 20; n++) {
    const room = ROOMS[n % ROOMS.length]!;
    const secret = n % 20 === 7 ? plantedIn((n - 7) / 20) : "";
    const headers = secret === "" ? {} : { "x-secret": secret };
    const text = `${secret} kept-${n} ${"x".repeat((n * 37) % 9_000)}`;
    const { offset } = await log.append(room, bytes(text), { headers });
    if (secret !== "") offsets.get(room)!.push(offset);
  }
  return offsets;
}

async function erasesFrom(spine: Spine, folder: string): Promise<void> {
  const tenant = await spine.log("acme", RETENTION);
  const planted = await plant(tenant);
  assert.equal((await findBytes(folder, PLANTED)).size, WANTED, "the scan finds what is there");
  let erased = 0;
  for (const [room, offsets] of planted) erased += await tenant.erase(room, offsets);
  assert.equal(erased, WANTED);
  await spine.scrub?.();
  assert.deepEqual(await findBytes(folder, PLANTED), new Map());
  let left = 0;
  for (const room of ROOMS) left += (await readAll(tenant, room)).length;
  assert.equal(left, WANTED * 19, "what stood beside it is there");
  await tenant.append("one", bytes("next"));
}

Deno.test("embedded: what is erased is in no file any more", async () => {
  const data_dir = await Deno.makeTempDir({ prefix: "arqon-erased-" });
  try {
    const spine = openEmbedded({ log, now: Date.now, data_dir });
    try {
      await erasesFrom(spine, data_dir);
    } finally {
      await spine.drain();
    }
    assert.deepEqual(await findBytes(data_dir, PLANTED), new Map(), "nor once it is closed");
  } finally {
    await Deno.remove(data_dir, { recursive: true });
  }
});

Deno.test("embedded: files are not written anew while a backup reads them", async () => {
  const data_dir = await Deno.makeTempDir({ prefix: "arqon-erased-" });
  try {
    const spine = openEmbedded({ log, now: Date.now, data_dir });
    try {
      const backup = spine.backup!();
      await assert.rejects(spine.scrub!(), /a backup is under way/);
      backup.release();
      await spine.scrub!();
    } finally {
      await spine.drain();
    }
  } finally {
    await Deno.remove(data_dir, { recursive: true });
  }
});

Deno.test("nats: what is erased is in no file any more", async () => {
  await using nats = await startNats({ jetstream: true });
  await using engine = await logEngine([nats.url]);
  await erasesFrom(engine.spine, nats.store);
  await nats.stop();
  assert.deepEqual(await findBytes(nats.store, PLANTED), new Map(), "nor once it has ended");
});
