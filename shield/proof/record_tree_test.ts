/**
 * Trees of several Shields over one bucket that loses answers, and whose owner dies at any step. No two signed
 * checkpoints disagree, and every entry is in the tree once. A Shield also detects a tree that somebody has changed.
 */
import assert from "node:assert/strict";
import {
  ArqonError,
  type Checkpoint,
  cosignersOf,
  decodeCheckpoint,
  openCheckpoint,
  openNote,
  tileOf,
} from "@arqon/proto";
import {
  decodeLeaf,
  encodeLeaf,
  payloadHash,
  PROOF_BUCKET,
  PROOF_KEYS_BUCKET,
} from "../../shared/proof/entry.ts";
import { type AuditLog, openAuditLog } from "../../shared/audit/log.ts";
import { RecentMap } from "../../shared/containers/recent_map.ts";
import { type TreeFiles, TreeReader } from "../../shared/proof/reader.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { until } from "../../shared/testing/until.ts";
import { createRandom } from "../../shared/testing/seeded.ts";
import { witnessOf } from "../../tests/proof/two_witnesses.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import { ProofKeys } from "./keys.ts";
import { RecordTree, type RecordTreeOptions } from "./record_tree.ts";
import { auditSource, blockSource, type RecordSource, roomSource } from "./sources.ts";
import { Witnesses } from "./witnesses.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const AUDIT = { retention_days: 1, log_bytes: 1_048_576 };
const ORIGIN = "bus.example/acme.bets";
const PLACE = ["acme", "bets"];

const entryOf = (offset: number) => (
  { epoch: "e", offset, time_ms: 5, sha256: payloadHash(String(offset)) }
);

/** A record with that many entries, in batches of up to `limit`. */
function growing(limit: number) {
  const record = { size: 0 };
  const source: RecordSource = {
    read: ({ offset }) => {
      const end = Math.min(record.size, offset + limit);
      const entries = Array.from({ length: end - offset }, (_, at) => entryOf(offset + at + 1));
      const more = end < record.size;
      return Promise.resolve({ entries, end: { stream: "s", offset: end }, more });
    },
  };
  return { record, source };
}

async function world() {
  const engine = testSpine();
  const bucket = await engine.spine.keyValue(PROOF_BUCKET);
  const keys = new ProofKeys(engine.spine, undefined);
  const counts = { entries: 0, checkpoints: 0, breaks: 0, forks: 0 };
  const clock = { ms: 0 };
  const tree = (source: RecordSource, more: Partial<RecordTreeOptions> = {}) =>
    new RecordTree({
      origin: ORIGIN,
      place: PLACE,
      bucket,
      source,
      counts,
      node_id: "one",
      keys: () => keys.of("acme", ORIGIN),
      log: keptLog().log,
      monotonic_ms: () => clock.ms,
      writings: new RecentMap(1),
      ...more,
    });
  return { engine, bucket, keys, counts, clock, tree };
}

/** The files of a tree, as the routes serve them. */
const filesOf = (tree: RecordTree): TreeFiles => async (path) => {
  if (path === "checkpoint") return new TextEncoder().encode(await tree.checkpoint());
  const bytes = await tree.tile(tileOf(path)!);
  if (bytes === undefined) throw new Error(`there is no ${path}`);
  return bytes;
};

/** A bucket that loses requests and answers, one write at a time as on NATS: a Shield may die between two of them. */
function losing(bucket: KeyValue, isLost: () => boolean): KeyValue {
  const lose = () => {
    if (isLost()) throw new ArqonError("spine-unavailable", "lost");
  };
  const lossy: KeyValue = overriding(bucket, {
    async update(...given) {
      lose();
      const revision = await bucket.update(...given);
      lose();
      return revision;
    },
    async updateAll(updates) {
      const revisions: number[] = [];
      for (const one of updates) {
        revisions.push(await lossy.update(one.key, one.value, one.expected_revision));
      }
      return revisions;
    },
  });
  return lossy;
}

async function shieldsVanish(turns: number, has_witness: boolean): Promise<void> {
  const { engine, bucket, clock, tree, keys } = await world();
  await using _ = engine;
  const counts = { cosigned: 0, uncosigned: 0, forks: 0 };
  const forks: (readonly [string, string])[] = [];
  const { verifiers } = await keys.of("acme", ORIGIN);
  await using witness = await witnessOf("witness.example", verifiers, forks);
  const asked = () =>
    !has_witness ? undefined : new Witnesses({
      witnesses: [witness.named],
      counts,
      log: keptLog().log,
      monotonic_ms: () => clock.ms,
      wait_ms: 60_000,
    }).cosign;
  const random = createRandom(7);
  const { record, source } = growing(40);
  const lossy = losing(bucket, () => random.chance(0.04));
  const shield = () =>
    tree(source, { bucket: lossy, node_id: `s${random.int(0, 999)}`, cosign: asked() });
  const shields = [shield(), shield(), shield()];
  const seen = new Map<number, Checkpoint>();
  const cosigned = new Set<number>();
  const { signers: [verifier] } = await keys.of("acme", ORIGIN);
  for (let turn = 0; turn < turns; turn++) {
    record.size += random.int(0, 11);
    clock.ms += random.int(0, 3_999);
    if (random.chance(0.1)) shields[random.int(0, 2)] = shield();
    await Promise.all(shields.map(async (one) => {
      await one.advance().catch((error) => assert.equal(error.reason, "spine-unavailable"));
      const note = await one.checkpoint();
      if (note === "") return;
      const checkpoint = await openCheckpoint(note, verifier!);
      const is_missing = has_witness && !cosigned.has(checkpoint.size);
      if (is_missing && (await cosignersOf(note, [witness.signer])).length > 0) {
        cosigned.add(checkpoint.size);
      }
      const known = seen.get(checkpoint.size) ?? checkpoint;
      assert.deepEqual(checkpoint, known);
      seen.set(checkpoint.size, checkpoint);
    }));
  }
  const last = tree(source, { node_id: "last", cosign: asked() });
  while (!await last.advance()) clock.ms += 5_000;
  if (has_witness) {
    assert.equal((await cosignersOf(await last.checkpoint(), [witness.signer])).length, 1);
    assert(cosigned.size > 10);
  }
  assert.deepEqual([forks, counts.forks], [[], 0], "no honest run is a fork");
  const reader = await TreeReader.open(filesOf(last), verifier!);
  assert(seen.size > turns / 6);
  for (const checkpoint of seen.values()) await reader.continues(checkpoint);
  const entries: Uint8Array[] = [];
  for await (const { bytes } of reader.whole()) entries.push(bytes);
  assert.deepEqual(
    entries,
    Array.from({ length: record.size }, (_, at) => encodeLeaf(entryOf(at + 1))),
  );
}

Deno.test("Shields that die at any step, and lost answers, make no fork", () =>
  shieldsVanish(150, false));

Deno.test("a witness sees no fork when Shields die at any step", () => shieldsVanish(60, true));

Deno.test("another Shield takes over a tree after the owner has done nothing for five seconds", async () => {
  const { engine, clock, tree } = await world();
  await using _ = engine;
  const { record, source } = growing(1_000);
  const one = tree(source);
  const two = tree(source, { node_id: "two" });
  record.size = 3;
  assert.equal(await one.advance(), true);
  clock.ms = 60_000;
  assert.equal(await two.advance(), true, "there is nothing to do");
  record.size = 5;
  assert.equal(await two.advance(), false);
  clock.ms += 4_999;
  assert.equal(await two.advance(), false);
  clock.ms += 1;
  assert.equal(await two.advance(), true);
  record.size = 700;
  assert.equal(await one.advance(), false);
  assert.equal(await two.advance(), true);
  assert.match(await one.checkpoint(), /\n700\n/);
});

Deno.test("a Shield that was stopped does not overwrite the tiles of the one that continued", async () => {
  const { engine, bucket, clock, tree, counts } = await world();
  await using _ = engine;
  const { record, source } = growing(1_000);
  const asked = Promise.withResolvers<void>();
  const thaw = Promise.withResolvers<void>();
  const freezing = overriding(bucket, {
    async get(key, ...given) {
      if (key.at(-2) !== "head" && key.at(-1) === "1") {
        asked.resolve();
        await thaw.promise;
      }
      return await bucket.get(key, ...given);
    },
  });
  const one = tree(source, { bucket: freezing });
  const two = tree(source, { node_id: "two" });
  record.size = 3;
  await one.advance();
  record.size = 300;
  const frozen = one.advance();
  await asked.promise;
  record.size = 320;
  assert.equal(await two.advance(), false);
  clock.ms += 5_000;
  assert.equal(await two.advance(), true);
  thaw.resolve();
  assert.equal(await frozen, false);
  assert.equal((await two.tile({ level: 0, index: 1, width: 64 }))?.length, 64 * 32);
  record.size = 400;
  assert.equal(await two.advance(), true);
  assert.equal(counts.forks, 0);
});

Deno.test("keys that rotate twice while a record is idle sign the checkpoint of an earlier key", async () => {
  const { engine, tree, keys, counts } = await world();
  await using _ = engine;
  const bucket = await engine.spine.keyValue(PROOF_KEYS_BUCKET);
  const first = await keys.of("acme", ORIGIN);
  assert.equal(await keys.of("acme", ORIGIN), first, "nothing is written again without a rotation");
  const { record, source } = growing(1_000);
  const one = tree(source);
  record.size = 300;
  await one.advance();
  const old = await one.checkpoint();
  // By another process.
  for (const _turn of [1, 2]) await new ProofKeys(engine.spine, undefined).rotate("acme");
  const { signers, verifiers } = await keys.of("acme", ORIGIN);
  assert.deepEqual([signers.length, verifiers.at(-1)], [2, first.verifiers[0]]);
  const two = tree(source);
  assert.match(await two.checkpoint(), /\n300\n/);
  assert.equal(await one.advance(), true);
  const note = await two.checkpoint();
  assert.deepEqual((await openNote(note, verifiers)).by.length, 2);
  for (const signer of signers) await openCheckpoint(note, signer);
  await assert.rejects(openCheckpoint(note, ...first.verifiers), /no known key/);
  const reader = await TreeReader.open(filesOf(two), ...signers);
  await reader.continues(await openCheckpoint(old, ...first.verifiers));
  assert.equal(counts.forks, 0);
  const pem = new TextDecoder().decode((await bucket.get(["acme"]))!.value);
  assert.equal(pem.split("PRIVATE KEY").length, 5, "a key that signs no more is not kept");
});

Deno.test("after a rotation a Shield signs with the new key at once, also another Shield's tree", async () => {
  const { engine, tree, keys, counts } = await world();
  await using _ = engine;
  const { record, source } = growing(1_000);
  const one = tree(source);
  const two = tree(source, { node_id: "two" });
  record.size = 3;
  await one.advance();
  // The other Shield may be dead, and its key is no longer the one that readers get.
  await new ProofKeys(engine.spine, undefined).rotate("acme");
  record.size = 5;
  assert.equal(await two.advance(), true);
  const { signers: [newest] } = await keys.of("acme", ORIGIN);
  assert.equal((await openCheckpoint(await two.checkpoint(), newest!)).size, 5);
  record.size = 6;
  assert.equal(await one.advance(), false, "the tree belongs to the other Shield now");
  assert.equal(await two.advance(), true);
  assert.equal((await openCheckpoint(await one.checkpoint(), newest!)).size, 6);
  assert.equal(counts.forks, 0);
});

Deno.test("an empty tree has a checkpoint of all keys, and is not stored", async () => {
  const { engine, bucket, tree, keys } = await world();
  await using _ = engine;
  const { record, source } = growing(1_000);
  const one = tree(source);
  for (const count of [1, 2]) {
    assert.equal(await one.advance(), true);
    const { by, text } = await openNote(
      await one.checkpoint(),
      (await keys.of("acme", ORIGIN)).signers,
    );
    assert.equal(by.length, count);
    assert.equal(decodeCheckpoint(text).size, 0);
    assert.deepEqual(await bucket.keys([]), []);
    await new ProofKeys(engine.spine, undefined).rotate("acme");
  }
  record.size = 1;
  assert.equal(await one.advance(), true);
  assert.match(await one.checkpoint(), /\n1\n/);
});

Deno.test("a Shield signs nothing on a tree that differs from the one it knows", async () => {
  const { engine, bucket, tree, counts, keys } = await world();
  await using _ = engine;
  const { record, source } = growing(1_000);
  const one = tree(source);
  record.size = 300;
  await one.advance();
  const old = (await bucket.get([...PLACE, "head"]))!;
  record.size = 400;
  await one.advance();
  const head = (await bucket.get([...PLACE, "head"]))!;
  const refuses = async (why: RegExp) => {
    const before = counts.forks;
    record.size++;
    await assert.rejects(
      one.advance(),
      (error: ArqonError) => error.reason === "log-unavailable" && why.test(error.message),
    );
    assert(counts.forks > before);
  };
  await bucket.put(old.key, old.value);
  await refuses(/has 300 entries, and had 400/);
  await bucket.delete(old.key);
  await refuses(/has 0 entries, and had 400/);
  await bucket.put(old.key, new TextEncoder().encode("x"));
  await refuses(/not JSON/);
  const text = new TextDecoder().decode(head.value);
  await bucket.put(old.key, new TextEncoder().encode(text.replace('"size":400', '"size":401')));
  await refuses(/does not match its checkpoint/);
  await bucket.put(old.key, new TextEncoder().encode(text.replace("400\\n", "401\\n")));
  await refuses(/signature/);
  // Another key's tree, which has as many entries.
  const place = ["other", "bets"];
  await tree(source, { place, keys: () => keys.of("other", ORIGIN) }).advance();
  await bucket.put(old.key, (await bucket.get([...place, "head"]))!.value);
  await refuses(/no known key|signature/);
  await bucket.put(old.key, head.value);
  assert.equal(await one.advance(), true, "it continues once the tree is back");
});

Deno.test("a starting Shield checks the tiles against the root before it signs", async () => {
  const { engine, bucket, tree } = await world();
  await using _ = engine;
  const { record, source } = growing(1_000);
  record.size = 300;
  await tree(source).advance();
  record.size++;
  for (const tile of [["1", "0"], ["entries", "1"]]) {
    const { key, value } = (await bucket.get([...PLACE, ...tile]))!;
    const changed = value.slice();
    changed[changed.length - 1]! ^= 1;
    await bucket.put(key, changed);
    await assert.rejects(tree(source).advance(), /tiles do not match its root/);
    await bucket.put(key, value.slice(0, -1));
    await assert.rejects(tree(source).advance(), /is gone, or cut|tiles do not/);
    await bucket.put(key, value);
  }
  assert.equal(await tree(source).advance(), true);
});

Deno.test("a starting Shield checks the end of the tree against its last entry", async () => {
  const { engine, bucket, tree } = await world();
  await using _ = engine;
  const retention = { history_size: 999, history_ttl_seconds: 3_600, replicas: undefined };
  const log = await engine.spine.log("acme", retention);
  const audit = await openAuditLog(engine.spine, AUDIT);
  const append = async () => {
    await audit.append(Uint8Array.of(count++), await audit.head());
  };
  const sources = [
    roomSource(() => Promise.resolve(log), "bets"),
    auditSource(() => Promise.resolve(audit)),
  ];
  let count = 0;
  for (const size of [3, 256, 259]) {
    while (count < size) {
      await log.append("bets", new Uint8Array(1));
      await append();
    }
    for (const [at, source] of sources.entries()) {
      const place = ["acme", String(at)];
      await tree(source, { place }).advance();
      const { key, value } = (await bucket.get([...place, "head"]))!;
      const head = JSON.parse(new TextDecoder().decode(value));
      const { offset } = head;
      for (const lie of [{ offset: offset - 1 }, { offset: offset + 1 }, { stream: "other" }]) {
        await bucket.put(key, new TextEncoder().encode(JSON.stringify({ ...head, ...lie })));
        await log.append("bets", new Uint8Array(1));
        await append();
        const error = await tree(source, { place }).advance().then(() => 0, String);
        assert.match(`${error}`, /does not end where/, JSON.stringify([at, size, lie]));
      }
      await bucket.put(key, value);
      assert.equal(await tree(source, { place }).advance(), true);
    }
  }
});

Deno.test("a room's log that was trimmed, and a replaced log, show as breaks", async () => {
  const { engine, tree, keys } = await world();
  await using _ = engine;
  const retention = { history_size: 3, history_ttl_seconds: 3_600, replicas: undefined };
  const log = await engine.spine.log("acme", retention);
  const fill = async (count: number) => {
    for (let n = 0; n < count; n++) await log.append("bets", new TextEncoder().encode(String(n)));
  };
  const lives = [...log.lives];
  const view = { lives, stream: log.stream };
  const seen = overriding(log, {
    get lives() {
      return view.lives;
    },
    read: async (...given) => ({ ...await log.read(...given), stream: view.stream }),
  });
  const one = tree(roomSource(() => Promise.resolve(seen), "bets"));
  await fill(2);
  await one.advance();
  await fill(5);
  await log.trim("bets", 3);
  await one.advance();
  // The log is restored to its state at offset 6, and gets another message.
  view.stream = "second";
  view.lives = [...lives, { name: "second", first: 7 }];
  await one.advance();
  // All messages are lost.
  view.stream = "third";
  view.lives = [{ name: "third", first: 0 }];
  await one.advance();
  const reader = await TreeReader.open(filesOf(one), ...(await keys.of("acme", ORIGIN)).verifiers);
  const shown: string[] = [];
  for await (const { entry } of reader.whole()) {
    shown.push(`${"break" in entry ? entry.break : ""}${entry.offset}`);
  }
  assert.deepEqual(shown.join(" "), "1 2 gap4 5 6 7 restored6 7 lost0 gap4 5 6 7");
});

Deno.test("an audit log that was replaced shows as lost, and is read from its start", async () => {
  const { engine, tree, keys } = await world();
  await using _ = engine;
  await using other = testSpine();
  const whole = await openAuditLog(engine.spine, AUDIT);
  const copy = await openAuditLog(other.spine, AUDIT);
  const append = async (log: AuditLog, byte: number) =>
    await log.append(Uint8Array.of(byte), await log.head());
  for (let byte = 0; byte < 4; byte++) {
    await append(whole, byte);
    if (byte < 2) await append(copy, byte);
  }
  const now = { log: whole };
  const one = tree(auditSource(() => Promise.resolve(now.log)));
  await one.advance();
  now.log = copy;
  await one.advance();
  await append(copy, 9);
  await one.advance();
  now.log = whole;
  await one.advance();
  const reader = await TreeReader.open(filesOf(one), ...(await keys.of("acme", ORIGIN)).verifiers);
  const shown: (string | number)[] = [];
  for await (const { bytes } of reader.whole()) {
    const entry = decodeLeaf(bytes)!;
    shown.push("break" in entry ? entry.break : entry.offset);
  }
  assert.deepEqual(shown, [1, 2, 3, 4, "lost", 1, 2, 3, "lost", 1, 2, 3, 4]);
});

Deno.test("blocks of a replaced store show as lost; blocks of a clock that is set back do not", async () => {
  const { engine, tree, keys } = await world();
  const clock = { ms: 1_000 };
  await using _ = engine;
  await using all = new AsyncDisposableStack();
  const bounds = { max_age_seconds: 3_600, max_bytes: 1_048_576 };
  const open = () => all.use(testSpine({}, () => clock.ms)).spine.blocks("usage", bounds);
  const whole = await open();
  const copy = await open();
  const anew = await open();
  const append = async (store: typeof whole, at_ms: number, ...texts: string[]) => {
    clock.ms = at_ms;
    for (const text of texts) {
      const payload = new TextEncoder().encode(text);
      const tenant_id = text === "globex" ? text : "acme";
      const about = { tenant_id, node_id: "n", ttl_seconds: 3_600, max_bytes: 1_048_576 };
      await store.append({ ...about, payload });
    }
  };
  const now = { store: whole };
  // A block has an entry for each of its letters.
  const one = tree(blockSource({
    name: "usage",
    open: () => Promise.resolve(now.store),
    leavesOf: (_, { payload }) =>
      Promise.resolve([...payload].map((byte) => ({
        sha256: byte.toString(16).padStart(64, "0"),
      }))),
  }, "acme"));
  const look = async (store: typeof whole) => {
    now.store = store;
    await one.advance();
  };
  await append(copy, 1_000, "ab");
  await append(whole, 1_000, "ab", "", "c");
  await append(whole, 3_000, "d");
  await append(whole, 2_000, "e");
  await look(whole);
  await whole.remove("acme", "n", 6);
  await look(whole);
  await append(whole, 2_500, "f");
  await look(whole);
  // The copy first has nothing newer than the tree, and then has something.
  await look(copy);
  await append(copy, 4_000, "g");
  await look(copy);
  await append(copy, 4_001, "h");
  await look(copy);
  // It has grown beyond the tree's end, whose cursor is another tenant's.
  await append(anew, 5_000, "i", "globex", "globex", "j");
  await look(anew);
  const reader = await TreeReader.open(filesOf(one), ...(await keys.of("acme", ORIGIN)).verifiers);
  let shown = "";
  for await (const { entry } of reader.whole()) {
    shown += "break" in entry
      ? ` ${entry.break} `
      : String.fromCharCode(parseInt(entry.sha256, 16)) + entry.offset;
  }
  assert.equal(shown, "a1b2c3d4e5f6 lost a7b8g9h10 lost i11j12");
});

Deno.test("a head that was read before the next one was published is not a fork", async () => {
  const { engine, bucket, tree, counts } = await world();
  await using _ = engine;
  const { record, source } = growing(100);
  const held: PromiseWithResolvers<void>[] = [];
  let holds = false;
  const slow = overriding(bucket, {
    async get(key) {
      const entry = await bucket.get(key);
      if (holds && key.at(-1) === "head") {
        holds = false;
        await held.at(-1)?.promise;
      }
      return entry;
    },
  });
  const writer = tree(source, { bucket: slow });
  const reader = tree(source, { bucket: slow });
  const late: Promise<string>[] = [];
  for (const size of [3, 7, 300]) {
    record.size = size;
    await writer.advance();
    await reader.checkpoint();
    for (const one of [writer, reader]) {
      held.push(Promise.withResolvers());
      holds = true;
      late.push(one.checkpoint());
      await until("it is requested", () => !holds);
    }
    // The reader gets the next head while an unknown one is still on its way to it.
    record.size++;
    await writer.advance();
    held.push(Promise.withResolvers());
    holds = true;
    late.push(reader.checkpoint());
    await until("it is requested", () => !holds);
    record.size++;
    await writer.advance();
    await reader.checkpoint();
  }
  for (const { resolve } of held) resolve();
  const sizes = await Promise.all(late);
  assert.deepEqual([sizes.length, counts.forks], [9, 0]);
});
