/**
 * The cost of a piece, in bytes written and read in the bucket: its own size, for any length of the text. The text is
 * complete with concurrent producers, and nothing is left over. When an abandoned message is ended: by a Shield's own
 * observation, for any clock. A message whose room's log is lost: it waits for a day, then it is given up and its
 * readers are notified. Many simultaneous commands of growing messages: other tasks run between them.
 */
import fc from "fast-check";
import assert from "node:assert/strict";
import type { KeyValue, Spine } from "../../shared/spine/contract/spine.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import {
  decodeRecord,
  encodeRecord,
  type GrowingRecord,
  releasedText,
  withEnding,
  withPiece,
  withSealed,
} from "./record.ts";
import { type GrowingContext, requirePlace } from "./places.ts";
import { GrowingRecords } from "./records.ts";
import { ArqonError, readEnvelope, scanEnvelope, writeEnvelope } from "@arqon/proto";
import { Registry } from "../../shared/metrics/metrics.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { standsStill, until } from "../../shared/testing/until.ts";
import { callerOf, LIMITS, testPath } from "../message/testing/path.ts";
import { growingStats } from "./stats.ts";
import { GrowingSweep, startGrowing } from "./start.ts";
import { NO_POLICIES } from "../message/gates.ts";
import { type Ended, isGivenUp, markErased, settle } from "./message_end.ts";
import { configFrom } from "../../shared/config/load.ts";
import { GROWING_BUCKET } from "../../shared/records/buckets.ts";
import { RoomClasses } from "../../shared/rooms/classes.ts";
import { turn } from "../../shared/turns/next_turn.ts";
import { ann } from "../auth/testing/identity.ts";
import { PLAIN_ROOMS } from "../durable/log/logs.ts";

const KEY = { tenant_id: "acme", room_id: "lobby", id: "a1" };
const BOUNDS = { message_bytes: 200_000, pieces: 100_000 };

const started = (): GrowingRecord => ({
  format: 1,
  type: "answer",
  content_type: "text/plain",
  text: "",
  seq: 0,
  producer: { user_id: "ann", user_key: "k", issuer: "i", role: "user" },
  started_ms: 1,
  active_ms: 1,
  ending: null,
});

/** An engine whose buckets count the bytes of values. */
function counting(spine: Spine) {
  const counted = { bytes: 0, lists: 0 };
  const through = (bucket: KeyValue): KeyValue => {
    const get: KeyValue["get"] = async (key) => {
      const entry = await bucket.get(key);
      counted.bytes += entry?.value.length ?? 0;
      return entry;
    };
    const put: KeyValue["put"] = (key, value) => {
      counted.bytes += value.length;
      return bucket.put(key, value);
    };
    const update: KeyValue["update"] = (key, value, revision) => {
      counted.bytes += value.length;
      return bucket.update(key, value, revision);
    };
    const keys: KeyValue["keys"] = (prefix) => {
      counted.lists++;
      return bucket.keys(prefix);
    };
    const remove: KeyValue["delete"] = (key, revision) => bucket.delete(key, revision);
    return { get, put, update, keys, delete: remove } as KeyValue;
  };
  const keyValue: Spine["keyValue"] = async (...args) => through(await spine.keyValue(...args));
  return { counted, records: new GrowingRecords({ keyValue }) };
}

/** Adds a piece, unless another writer has added it. */
const add = (records: GrowingRecords, seq: number, text: string) =>
  records.change(KEY, (found) =>
    Promise.resolve(
      found!.record.seq >= seq ? undefined : withPiece(found!.record, { seq, text }, BOUNDS, 2),
    ));

Deno.test("a text keeps a byte order mark, wherever its parts are split", async () => {
  await using engine = testSpine();
  const { records } = counting(engine.spine);
  await records.change(KEY, () => Promise.resolve(started()));
  const pieces = Array.from({ length: 4 }, () => "\uFEFF".repeat(5_000));
  for (const [at, piece] of pieces.entries()) await add(records, at + 1, piece);
  const { record } = (await records.get(KEY))!;
  assert.ok(await records.textOf(KEY, record) === pieces.join(""));
});

Deno.test("a piece of one character costs as much in a text of 180 KB as in one of 6", async () => {
  await using engine = testSpine();
  const { counted, records } = counting(engine.spine);
  await records.change(KEY, () => Promise.resolve(started()));
  let seq = 0;
  const costs: number[] = [];
  for (const size of [6_000, 180_000]) {
    const { record } = (await records.get(KEY))!;
    const there = (await records.textOf(KEY, record))!.length;
    for (let left = size - there; left > 0; left -= 3_000) {
      await add(records, ++seq, "x".repeat(Math.min(3_000, left)));
    }
    counted.bytes = 0;
    const pieces = 5_000;
    for (let piece = 0; piece < pieces; piece++) await add(records, ++seq, "y");
    costs.push(counted.bytes / pieces);
  }
  assert.ok(Math.max(...costs) < 15_000, `${costs} bytes a piece`);
  assert.ok(Math.max(...costs) < 1.5 * Math.min(...costs), `${costs} bytes a piece`);
});

Deno.test("a start does not list what its tenant has, and the limits hold all the same", async () => {
  await using engine = testSpine();
  const { counted, records } = counting(engine.spine);
  const limits = { room_messages: 2, tenant_messages: 60 };
  const stats = { bound: () => {} };
  const context = { records, stats, bounds: () => limits } as unknown as GrowingContext;
  const start = (room_id: string, id: string) => {
    const key = { tenant_id: "acme", room_id, id };
    return records.change(key, async () => {
      await requirePlace(context, key);
      return started();
    });
  };
  for (let at = 0; at < 60; at++) await start(`r${at >> 1}`, `m${at}`);
  assert.ok(counted.lists < 10, `${counted.lists} lists for 60 starts`);
  await assert.rejects(start("r0", "more"), /2 messages grow in r0/);
  await assert.rejects(start("other", "more"), /60 messages of the tenant grow/);
  const key = { tenant_id: "acme", room_id: "r0", id: "m0" };
  await records.delete(key, (await records.get(key))!);
  await start("r0", "more");
});

Deno.test("with concurrent writers the text is that of the pieces, and no parts remain", async () => {
  const piece = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 40 }),
    fc.nat(6_000).map((length) => "🦊".repeat(length)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
      await using engine = testSpine();
      const bucket = await engine.spine.keyValue("ARQON_GROWING");
      const writers = [1, 2, 3].map(() => new GrowingRecords(engine.spine));
      await writers[0]!.change(KEY, () => Promise.resolve(started()));
      let whole = "";
      for (const [at, text] of pieces.entries()) {
        whole += text;
        if (new TextEncoder().encode(whole).length > BOUNDS.message_bytes) return;
        await Promise.all(writers.map((records) => add(records, at + 1, text)));
        const found = (await writers[at % 3]!.get(KEY))!;
        assert.equal(await writers[0]!.textOf(KEY, found.record), whole);
        // A repetition of the last piece is recognized.
        assert.equal(releasedText(found.record, { seq: at + 1, text }), text);
        assert.ok(whole.length < 256 || found.record.text.length >= 255);
      }
      const found = (await writers[1]!.get(KEY))!;
      assert.deepEqual(decodeRecord(encodeRecord(found.record)), found.record);
      await writers[2]!.delete(KEY, found);
      assert.deepEqual(await bucket.keys(), []);
    }),
    { numRuns: 40 },
  );
});

Deno.test("a piece that is added while its message is erased leaves no part", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(GROWING_BUCKET);
  const records = new GrowingRecords(engine.spine);
  await records.change(KEY, () => Promise.resolve(started()));
  await add(records, 1, "x".repeat(5_000));
  const put: KeyValue["put"] = async (key, value) => {
    for (const one of await bucket.keys(["acme"])) await bucket.delete(one);
    return await bucket.put(key, value);
  };
  const keyValue = () => Promise.resolve(overriding(bucket, { put }));
  await assert.rejects(add(new GrowingRecords({ keyValue }), 2, "y"));
  assert.deepEqual(await bucket.keys(), []);
});

Deno.test("a message counts all its parts against its limit, and ends with all of them", () => {
  let record = withPiece(started(), { seq: 1, text: "é".repeat(5_000) }, BOUNDS, 2);
  const { record: next, part } = withSealed(
    record,
    withPiece(record, { seq: 2, text: "!" }, BOUNDS, 2),
  );
  assert.equal((part?.text ?? "") + next.text, `${"é".repeat(5_000)}!`);
  record = next;
  const bounds = { ...BOUNDS, message_bytes: 10_002 };
  const refused = { reason: "message-too-large" };
  assert.throws(() => withPiece(record, { seq: 3, text: "ab" }, bounds, 2), refused);
  assert.equal(withPiece(record, { seq: 3, text: "a" }, bounds, 2).seq, 3);
  const ending = { outcome: "finished", reason: "", by: "ann", is_kept: true, at_ms: 3 } as const;
  assert.deepEqual(withSealed(record, withEnding(record, ending)).record.sealed, record.sealed);
});

Deno.test("a tenant whose messages grow long leaves room in the bucket for another's", async () => {
  await using engine = testSpine();
  const stored = await engine.spine.keyValue("ARQON_GROWING");
  const bucket = overriding(stored, { limit_bytes: 40_000 });
  const spine = { keyValue: () => Promise.resolve(bucket) };
  const records = new GrowingRecords(spine);
  const grow = async (key: typeof KEY, by = records) => {
    await by.change(key, () => Promise.resolve(started()));
    await by.change(key, (found) => Promise.resolve({ ...found!.record, text: "x".repeat(3_000) }));
  };
  const refused = { reason: "growing-limit" };
  for (let at = 0; at < 10; at++) await grow({ ...KEY, id: `m${at}` });
  await assert.rejects(grow({ ...KEY, id: "more" }), refused);
  await grow({ ...KEY, tenant_id: "globex" });
  // Another Shield knows it from its sweep.
  const others = new GrowingRecords(spine);
  await others.sweep();
  await assert.rejects(grow({ ...KEY, id: "others" }, others), refused);
  for (const id of ["m0", "m1", "m2"]) {
    await records.delete({ ...KEY, id }, (await records.get({ ...KEY, id }))!);
  }
  await grow({ ...KEY, id: "more" });
});

Deno.test("remaining parts of an ended message are deleted, those of others are not", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue("ARQON_GROWING");
  const records = new GrowingRecords(engine.spine);
  await records.change(KEY, () => Promise.resolve(started()));
  await add(records, 1, "x".repeat(5_000));
  await add(records, 2, "y");
  const left = ["acme", "lobby", "gone", "1", "0"];
  await bucket.put(left, new Uint8Array(9));
  assert.deepEqual(await records.list("acme", "lobby"), [KEY]);
  assert.deepEqual(await records.sweep(), [KEY]);
  assert.equal(await bucket.get(left), undefined);
  const { record } = (await records.get(KEY))!;
  assert.equal(await records.textOf(KEY, record), `${"x".repeat(5_000)}y`);
});

const HOUR_MS = 3_600_000;
const IDLE_MS = 60_000;
const RECORD: Omit<GrowingRecord, "started_ms" | "active_ms" | "text" | "ending"> = {
  format: 1,
  type: "answer",
  content_type: "text/plain",
  seq: 0,
  producer: { user_id: "ann", user_key: "k", issuer: "i", role: "user" },
};

/** The dependencies of sweeps on one Spine; `log_ms` is the time of its logs. */
function world(test: ReturnType<typeof testPath>, now: () => number, log_ms: () => number) {
  const records = new GrowingRecords(test.spine);
  const registry = new Registry();
  const context = {
    path: { ...test.path, now },
    limits: LIMITS,
    logs: { of: () => Promise.reject(new ArqonError("log-unavailable", "nothing is stored")) },
    logTime: () => Promise.resolve(log_ms()),
    records,
    stats: growingStats(registry),
    overseer: NO_POLICIES,
    bounds: () => ({
      message_bytes: 1_000,
      pieces: 10,
      held_bytes: 0,
      room_messages: 10,
      tenant_messages: 10,
      idle_ms: IDLE_MS,
    }),
  };
  return { records, registry, context };
}

const sweepOf = (context: GrowingContext, log = keptLog().log, monotonic_ms = () => 0) =>
  new GrowingSweep(context, { log, isNeeded: () => false, left_ms: 0, monotonic_ms });

const STEPS = [-2 * HOUR_MS, -20_000, -2_000, 0, 2_000, 20_000, 2 * HOUR_MS];
for (const step_ms of STEPS) {
  Deno.test(`a growing message is ended when it is idle, not before: the log's clock jumps by ${step_ms} ms`, async () => {
    await using test = testPath();
    let log_ms = SPINE_NOW_MS;
    let passed_ms = 0;
    const { records, context } = world(test, () => log_ms, () => log_ms);
    const sweep = sweepOf(context, keptLog().log, () => passed_ms);
    const pass = async (ms: number) => {
      passed_ms += ms;
      log_ms += ms;
      await sweep.pass();
      return await records.get(KEY) !== undefined;
    };
    const at = { started_ms: log_ms, active_ms: log_ms, ending: null };
    await records.change(KEY, () => Promise.resolve({ ...RECORD, ...at, text: "" }));
    assert.equal(await pass(0), true);
    assert.equal(await pass(IDLE_MS - 8_000), true);
    await records.change(KEY, (found) => Promise.resolve({ ...found!.record, active_ms: log_ms }));
    log_ms += step_ms;
    assert.equal(await pass(8_000), true, "its producer wrote 8 s ago");
    assert.equal(await pass(IDLE_MS - 1), true);
    assert.equal(await pass(1), false);
    await sweep.close();
  });
}

/** Runs a pass for the first sight, and another one when it is idle. */
async function passTwice(sweep: GrowingSweep, wait: () => void): Promise<void> {
  await sweep.pass();
  wait();
  await sweep.pass();
}

/** A Shield that dies in the middle of its pass: at the `at`th time that it reads the log's clock. */
async function dying(context: GrowingContext, at: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let requests = 0;
  const logTime: GrowingContext["logTime"] = (tenant_id) => {
    if (++requests < at) return context.logTime(tenant_id);
    resolve();
    return new Promise(() => {});
  };
  let passed_ms = 0;
  const sweep = sweepOf({ ...context, logTime }, keptLog().log, () => passed_ms);
  void passTwice(sweep, () => passed_ms += IDLE_MS);
  await promise;
  await sweep.close();
}

Deno.test("a message whose end killed two processes is set aside; one that could not be stored is retried", async () => {
  await using test = testPath();
  let log_ms = SPINE_NOW_MS;
  const { records, registry, context } = world(test, () => log_ms, () => log_ms);
  const at = { started_ms: log_ms, active_ms: log_ms, ending: null };
  await records.change(KEY, () => Promise.resolve({ ...RECORD, ...at, text: "half" }));
  log_ms += IDLE_MS;
  // After two passes and the decision, in the middle of the end.
  await dying(context, 4);
  assert.equal((await records.get(KEY))?.record.ending?.taken_by, undefined);
  log_ms += HOUR_MS;
  const failing = sweepOf(context);
  await failing.pass();
  await failing.close();
  assert.equal((await records.get(KEY))?.record.ending?.taken_by, undefined);
  await dying(context, 2);
  assert.notEqual((await records.get(KEY))?.record.ending?.taken_by, undefined);
  const { log, lines } = keptLog();
  const third = sweepOf(context, log);
  await third.pass();
  await third.close();
  assert.match(
    lines.join(""),
    /level=error [^\n]*two processes died while ending a growing message: it is set aside/,
  );
  assert.match(await registry.metrics(), /^shield_growing_set_aside_total 1$/m);
  assert.equal((await records.get(KEY))?.record.text, "half");
  log_ms += 24 * HOUR_MS;
  let passed_ms = 0;
  const later = sweepOf(context, log, () => passed_ms);
  await later.pass();
  assert.notEqual(await records.get(KEY), undefined, "the clock may have jumped");
  passed_ms += HOUR_MS;
  await later.pass();
  await later.close();
  assert.equal(await records.get(KEY), undefined);
});

for (const since of ["any longer", "since the start"]) {
  Deno.test(`an abandoned message ends, though no class has durable rooms ${since}`, async () => {
    await using test = testPath();
    const { records, context } = world(test, () => SPINE_NOW_MS, () => SPINE_NOW_MS);
    const at = { started_ms: SPINE_NOW_MS, active_ms: SPINE_NOW_MS, ending: null };
    await records.change(KEY, () => Promise.resolve({ ...RECORD, ...at, text: "" }));
    let has_durable = since === "any longer";
    let passes = 0;
    const sweeping = overriding(records, {
      sweep() {
        passes++;
        return records.sweep();
      },
    });
    const sweep = new GrowingSweep(
      { ...context, records: sweeping, bounds: () => ({ ...context.bounds(), idle_ms: 40 }) },
      { log: keptLog().log, isNeeded: () => has_durable, left_ms: 0 },
    );
    has_durable = false;
    await until("it has ended", async () => await records.get(KEY) === undefined);
    // An empty bucket is left alone.
    await standsStill(() => passes);
    await sweep.close();
  });
}

Deno.test("a tenant whose messages cannot be ended does not delay other tenants", async () => {
  await using test = testPath();
  let log_ms = SPINE_NOW_MS;
  const { records, context } = world(test, () => log_ms, () => log_ms);
  const at = { started_ms: log_ms, active_ms: log_ms, ending: null };
  const other = { ...KEY, tenant_id: "zoo" };
  for (const key of [KEY, other]) {
    await records.change(key, () => Promise.resolve({ ...RECORD, ...at, text: "" }));
  }
  log_ms += IDLE_MS;
  const { log, lines } = keptLog();
  const logTime: GrowingContext["logTime"] = (tenant_id) =>
    tenant_id === KEY.tenant_id
      ? Promise.reject(new ArqonError("log-unavailable", "not now"))
      : Promise.resolve(log_ms);
  let passed_ms = 0;
  const sweep = sweepOf({ ...context, logTime }, log, () => passed_ms);
  await passTwice(sweep, () => passed_ms += IDLE_MS);
  await sweep.close();
  assert.equal(await records.get(other), undefined);
  assert.notEqual(await records.get(KEY), undefined);
  assert.match(lines.join(""), /growing messages of a tenant could not be checked/);
});

const ended = (ago_ms: number): GrowingRecord =>
  withEnding({
    format: 1,
    type: "answer",
    content_type: "text/plain",
    text: "so far",
    seq: 1,
    producer: { user_id: "ann", user_key: "k", issuer: "i", role: "user" },
    started_ms: 1,
    active_ms: 1,
    ending: null,
  }, { outcome: "finished", reason: "", by: "ann", is_kept: true, at_ms: SPINE_NOW_MS - ago_ms });

Deno.test("a message whose log is lost waits for a day, then its readers are notified that it is not stored", async () => {
  await using test = testPath();
  const records = new GrowingRecords(test.spine);
  const of = () => Promise.reject(new ArqonError("log-unavailable"));
  const stats = growingStats(new Registry());
  const logTime = () => Promise.resolve(SPINE_NOW_MS);
  const context = { path: test.path, limits: LIMITS, logs: { of }, logTime, records, stats };
  const settled = async (ago_ms: number, tried_ms = 24 * HOUR_MS - 1) => {
    const found = await records.change(KEY, () => Promise.resolve(ended(ago_ms)));
    const settling = settle(context, KEY, found as Ended, undefined, tried_ms);
    await assert.rejects(settling, { reason: "log-unavailable" });
    return await records.get(KEY);
  };
  assert.notEqual(await settled(23 * HOUR_MS), undefined);
  // A clock jumps by more than a day.
  assert.notEqual(await settled(25 * HOUR_MS, HOUR_MS - 1), undefined);
  assert.equal(test.published.length, 0);
  assert.equal(isGivenUp(-2 * HOUR_MS, 24 * HOUR_MS), true, "or that none has");
  assert.equal(await settled(25 * HOUR_MS), undefined);
  await until("its end is reported", () => test.published.length > 0);
  const { room_id, event } = readEnvelope(test.published[0]!.payload);
  assert.equal(room_id, "lobby~growing");
  const notice = JSON.parse(new TextDecoder().decode(event?.data));
  assert.deepEqual([notice.op, notice.outcome, notice.reason], [
    "end",
    "aborted",
    "not stored: log-unavailable",
  ]);
});

Deno.test("neither an earlier message of its id nor somebody else's is taken for one whose end was late", async () => {
  const takenFor = async (sender_id: string, message_id: string, grew: boolean, ago_ms: number) => {
    await using test = testPath();
    const headers = grew ? { "x-arqon-growing": "finished" } : {};
    const payload = writeEnvelope({ room_id: "lobby", sender_id, message_id, headers });
    const offset = 7;
    const time_ms = SPINE_NOW_MS - ago_ms;
    const log = {
      head: () => Promise.resolve({ last: { offset } }),
      readBack: () => Promise.resolve({ messages: [{ offset, time_ms, payload }], more: false }),
    };
    const records = new GrowingRecords(test.spine);
    const context = {
      path: test.path,
      limits: LIMITS,
      records,
      stats: growingStats(new Registry()),
      logs: { of: () => Promise.resolve(log as never) },
      logTime: () => Promise.resolve(SPINE_NOW_MS),
    };
    // Its tenant's budget was used up for two minutes.
    const found = await records.change(KEY, () => Promise.resolve(ended(120_000)));
    const stored = await settle(context, KEY, found as Ended);
    await test.spine.flush();
    const texts = test.published.map(({ payload }) => readEnvelope(payload))
      .filter(({ room_id }) => room_id === "lobby")
      .map(({ event }) => new TextDecoder().decode(event?.data));
    return { stored, texts };
  };
  const itself = { stored: 0, texts: ["so far"] };
  assert.deepEqual(await takenFor("ann", "growing:a1:0", true, 150_000), itself, "another use");
  assert.deepEqual(await takenFor("ann", "growing:a1:1", true, HOUR_MS), itself, "long ago");
  assert.deepEqual(await takenFor("mal", "growing:a1:1", false, 60_000), itself, "another sender");
  const known = { stored: 7, texts: [] };
  assert.deepEqual(await takenFor("ann", "growing:a1:1", true, 60_000), known);
});

Deno.test("a message that a policy refuses at its end is aborted, whatever code the policy chose", async () => {
  const onMessage = () => Promise.reject(new ArqonError("policy-rejected", "no", { code: 429 }));
  await using test = testPath([], { ...NO_POLICIES, onMessage });
  const records = new GrowingRecords(test.spine);
  const context = {
    path: test.path,
    limits: LIMITS,
    records,
    stats: growingStats(new Registry()),
    logs: { of: () => Promise.reject(new ArqonError("log-unavailable")) },
    logTime: () => Promise.resolve(SPINE_NOW_MS),
  };
  const found = await records.change(KEY, () => Promise.resolve(ended(0)));
  await assert.rejects(settle(context, KEY, found as Ended), { reason: "policy-rejected" });
  assert.equal(await records.get(KEY), undefined);
});

const COMMANDS = 400;

Deno.test("of a thousand simultaneous commands a few are answered per turn, in one room or many", async () => {
  await using test = testPath();
  const growing = startGrowing(
    {
      config: {
        watchdog: { stall_ms: 30_000 },
        limits: LIMITS,
        growing: configFrom({}).growing,
      } as never,
      spine: test.spine,
      log: keptLog().log,
      registry: new Registry(),
    },
    test.path,
    NO_POLICIES,
    { of: () => Promise.reject(new ArqonError("log-unavailable")) } as never,
    PLAIN_ROOMS.classes,
  );
  const data = new TextEncoder().encode('{"id":"a1"}');
  const command = { name: "growing.append", data, content_type: "application/json" };
  let answered = 0;
  const ask = (room_id: string) => {
    const envelope = scanEnvelope(writeEnvelope({ room_id, command }), LIMITS);
    return growing.answer(callerOf(ann), envelope).catch(() => {}).finally(() => answered++);
  };
  // Commands of one connection and room are sequential, those of many connections concurrent.
  let chain = Promise.resolve<unknown>(undefined);
  for (let at = 0; at < COMMANDS; at++) chain = chain.then(() => ask("lobby"));
  const all = Array.from({ length: COMMANDS }, (_, at) => ask(`lobby-${at}`));
  let most = 0;
  for (let before = 0; answered < 2 * COMMANDS; before = answered) {
    await turn();
    most = Math.max(most, answered - before);
  }
  await Promise.all([chain, ...all]);
  assert.ok(most <= 32, `${most} in one turn`);
  await growing.close();
});

for (const slow of ["policy", "log"]) {
  Deno.test(`a message that is erased while its end waits for its ${slow} does not stay`, async () => {
    const reached = Promise.withResolvers<void>();
    const erased = Promise.withResolvers<void>();
    const hold = async (what: string) => {
      if (what !== slow) return;
      reached.resolve();
      await erased.promise;
    };
    const onMessage = async () => {
      await hold("policy");
      return [];
    };
    await using test = testPath([], { ...NO_POLICIES, onMessage });
    const { spine } = test;
    const room = { room: "lobby", durable: true, history_size: 10, history_ttl_seconds: 60 };
    const classes = new RoomClasses(configFrom({ rooms: [room] }).rooms);
    const of = (tenant: string) =>
      spine.log(tenant, { history_size: 10, history_ttl_seconds: 60, replicas: undefined });
    const append: GrowingContext["path"]["logs"]["append"] = async (given) => {
      await hold("log");
      return await (await of(given.tenant_id)).append(given.room_id, given.envelope);
    };
    const records = new GrowingRecords(spine);
    const context = {
      path: { ...test.path, classes, logs: { append } },
      limits: LIMITS,
      records,
      stats: growingStats(new Registry()),
      logs: { of },
      logTime: () => Promise.resolve(SPINE_NOW_MS),
    };
    const found = await records.change(KEY, () => Promise.resolve(ended(0)));
    const settling = settle(context, KEY, found as Ended);
    await reached.promise;
    await (await spine.keyValue(GROWING_BUCKET)).delete(["acme", "lobby", "a1"]);
    markErased(records.settling, "acme", [{ room: "lobby", id: "a1" }]);
    erased.resolve();
    await assert.rejects(settling, { reason: "growing-unknown" });
    assert.equal(await (await of("acme")).count("lobby", 1), 0);
    assert.equal(records.settling.size, 0);
  });
}
