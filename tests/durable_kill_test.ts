/**
 * SIGKILL during writes, a hundred times on one folder: everything that the embedded log acknowledged is stored
 * afterwards, once and in order, and so are the writes of its buckets of keys and objects. It does not cover power
 * cuts: a killed process loses its memory, not what the system has accepted.
 */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { DurableLog } from "../shared/spine/contract/durable_log.ts";
import type { Spine } from "../shared/spine/contract/spine.ts";
import { openEmbedded } from "../shared/spine/embedded/embedded.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import {
  type Acknowledged,
  isAsNew,
  KILL_BUCKET,
  KILL_RETENTION,
  KILL_ROOMS,
  KILL_TENANT,
  problems,
  readAcknowledgements,
  type Stored,
} from "./durable_kill_child.ts";
import { testLog } from "../shared/testing/logs.ts";
import { createRandom, type Random } from "../shared/testing/seeded.ts";

const KILLS = 100;
const SEED = 20_240_606;
/** The longest life of a child after its first acknowledgement, in acknowledged keys: a slow machine writes as many. */
const LIFE_KEYS = 12;
/** The latest moment of a kill during the start, in ms. */
const EARLY_MS = 160;
const path = (name: string) => new URL(name, import.meta.url).pathname;

/** Starts a child and kills it; returns what it acknowledged. Sometimes it dies while it starts. */
async function killOne(data_dir: string, round: number, random: Random) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-check", "--no-code-cache", "--config", path("../deno.json")],
      ...["--allow-read", "--allow-write", path("durable_kill_child.ts"), data_dir, String(round)],
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const early = random.chance(0.1);
  const life_keys = random.int(0, LIFE_KEYS);
  let is_killed = false;
  const kill = () => {
    if (is_killed) return;
    is_killed = true;
    child.kill("SIGKILL");
  };
  const timer = early ? setTimeout(kill, random.int(100, EARLY_MS)) : undefined;
  let output = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    const keys = output.split("key:").length - 1;
    if (keys >= life_keys) kill();
  }
  clearTimeout(timer);
  const { signal } = await child.status;
  assert.equal(signal, "SIGKILL", "the child died by itself");
  // An incomplete line was being written: nobody has seen its acknowledgement.
  return readAcknowledgements(output.split("\n").slice(0, -1));
}

async function storedAfter(log: DurableLog, room: string, after: number): Promise<Stored[]> {
  const stored: Stored[] = [];
  const decoder = new TextDecoder();
  for (;;) {
    const position = stored.at(-1)?.offset ?? after;
    const page = await log.read(room, { after: position, limit: 5_000, max_bytes: 4_000_000 });
    assert.equal(page.complete, true, `${room} after ${position}`);
    for (const { offset, payload } of page.messages) {
      stored.push({ offset, text: decoder.decode(payload) });
    }
    if (!page.more) return stored;
  }
}

/** The state of the check: everything acknowledged so far, and up to where each room was verified. */
interface Ledger {
  readonly acknowledged: Acknowledged[];
  readonly verified: Map<string, number>;
  stream: string;
}

/** Verifies what was added since the last time, and repeats the last message of each room. */
async function verify(log: DurableLog, ledger: Ledger, fresh: readonly Acknowledged[]) {
  const is_same = log.lives.some(({ name }) => name === ledger.stream);
  if (ledger.stream !== "") assert.ok(is_same, "earlier positions are still good");
  ledger.stream = log.stream;
  ledger.acknowledged.push(...fresh);
  for (const room of KILL_ROOMS) {
    const stored = await storedAfter(log, room, ledger.verified.get(room) ?? 0);
    assert.deepEqual(problems(stored, fresh.filter((one) => one.room === room)), []);
    const last = stored.at(-1);
    if (last === undefined) continue;
    ledger.verified.set(room, last.offset);
    const again = await log.append(room, new Uint8Array(0), { key: last.text });
    assert.deepEqual([again.offset, again.duplicate], [last.offset, true], "keys outlive the kill");
  }
}

/** Acknowledged keys and objects are present or newer, and no revision occurs twice. */
async function verifyBucket(spine: Spine, fresh: readonly Acknowledged[]): Promise<void> {
  const bucket = await spine.keyValue(KILL_BUCKET);
  const objects = await spine.objects(KILL_BUCKET);
  const written = fresh.filter(({ room }) => room.includes(":"));
  for (const { room, text, offset } of new Map(written.map((one) => [one.room, one])).values()) {
    const [kind, key = ""] = room.split(":");
    const entry = kind === "key" ? await bucket.get([key]) : undefined;
    const bytes = kind === "key" ? entry?.value : await objects.get(key);
    const stored = new TextDecoder().decode(bytes).replace(/\.+$/, "");
    assert.ok(isAsNew(stored, text), `${room} is ${stored}; ${text} was acknowledged`);
    if (entry !== undefined) assert.ok(entry.revision >= offset, `${key} went back`);
  }
  const highest = Math.max(0, ...written.map(({ offset }) => offset));
  const before = (await bucket.get(["after"]))?.revision ?? 0;
  const next = await bucket.update(["after"], new Uint8Array(), before);
  assert.ok(next > highest, "no revision comes twice");
}

async function withLog(
  data_dir: string,
  run: (log: DurableLog, spine: Spine) => Promise<void>,
): Promise<void> {
  const spine = openEmbedded({ log: testLog("warn"), now: Date.now, data_dir });
  await using _end = atEnd(() => spine.drain());
  await run(await spine.log(KILL_TENANT, KILL_RETENTION), spine);
}

Deno.test("a row that vanishes from the file is found", async () => {
  await using folder = await temporaryFolder();
  const data_dir = `${folder.path}/data`;
  const fresh: Acknowledged[] = [];
  await withLog(data_dir, async (log) => {
    for (let n = 0; n < 50; n++) {
      const [room = ""] = KILL_ROOMS;
      const text = `0/${n}`;
      const { offset } = await log.append(room, new TextEncoder().encode(text), { key: text });
      fresh.push({ room, text, offset });
    }
  });
  const check = () =>
    withLog(data_dir, (log) => {
      return verify(log, { acknowledged: [], verified: new Map(), stream: "" }, fresh);
    });
  await check();
  const database = new DatabaseSync(`${data_dir}/log.sqlite`);
  const { changes } = database.prepare("DELETE FROM message WHERE offset = ?")
    .run(fresh[20]?.offset ?? 0);
  database.close();
  assert.equal(changes, 1);
  await assert.rejects(check(), /0\/20 was acknowledged at/);
});

Deno.test("a hundred kills in the middle of writes lose nothing that was acknowledged", async () => {
  await using folder = await temporaryFolder();
  const data_dir = `${folder.path}/data`;
  const random = createRandom(SEED);
  const ledger: Ledger = { acknowledged: [], verified: new Map(), stream: "" };
  let writing = 0;
  for (let round = 0; round < KILLS; round++) {
    const fresh = await killOne(data_dir, round, random);
    if (fresh.length > 0) writing++;
    await withLog(data_dir, async (log, spine) => {
      await verify(log, ledger, fresh);
      await verifyBucket(spine, fresh);
    });
  }
  assert.ok(writing > KILLS / 2, `only ${writing} were killed in the middle of writes`);
  await withLog(data_dir, async (log, spine) => {
    const made_up = [{ room: "key:k0", text: `${KILLS}/0`, offset: 0 }];
    await assert.rejects(verifyBucket(spine, made_up), /was acknowledged/);
    const keys = ledger.acknowledged.filter(({ room }) => room.includes(":")).length;
    assert.ok(keys > KILLS * 3, `${keys} keys and objects were acknowledged`);
    for (const room of KILL_ROOMS) {
      const all = ledger.acknowledged.filter((one) => one.room === room);
      assert.ok(all.length > KILLS, `${room}: ${all.length} were acknowledged`);
      assert.deepEqual(problems(await storedAfter(log, room, 0), all), []);
    }
  });
});
