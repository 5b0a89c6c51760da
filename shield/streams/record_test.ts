/**
 * Records: producers' sequences, expiry, the stored form. The limit of a tenant's streams; expired ones do not count.
 */
import assert from "node:assert/strict";
import {
  decodeRecord,
  encodeRecord,
  forkExpiry,
  isExpired,
  type ProducerState,
  Records,
  sequence,
  type StreamRecord,
  withProducer,
} from "./record.ts";
import { writeEnvelope } from "@arqon/proto";
import { STREAMS_BUCKET } from "../../shared/records/buckets.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { StreamRefusal } from "./answers.ts";
import { streamShield } from "./testing/context.ts";

const OPEN = { after: 0, count: 1 };
const STATE: ProducerState = { epoch: 2, seq: 5, at_ms: 0, open: OPEN };
const RECORD: StreamRecord = {
  id: "a",
  content_type: "text/plain",
  created_ms: 1_000,
  begin: 0,
  touched_ms: 1_000,
  forks: [],
  producers: {},
};
const asked = (epoch: number, seq: number) => ({ id: "p", epoch, seq });

Deno.test("records: a producer continues, repeats, leaves a gap, or was fenced", () => {
  assert.deepEqual(sequence(undefined, asked(7, 0)), { kind: "accepted" });
  assert.deepEqual(sequence(undefined, asked(0, 1)), { kind: "gap", expected: 0 });
  assert.deepEqual(sequence(STATE, asked(2, 6)), { kind: "accepted" });
  assert.deepEqual(sequence(STATE, asked(2, 5)), { kind: "duplicate", seq: 5, is_last: true });
  assert.deepEqual(sequence(STATE, asked(2, 0)), { kind: "duplicate", seq: 5, is_last: false });
  assert.deepEqual(sequence(STATE, asked(2, 8)), { kind: "gap", expected: 6 });
  assert.deepEqual(sequence(STATE, asked(1, 6)), { kind: "stale", epoch: 2 });
  assert.deepEqual(sequence(STATE, asked(3, 0)), { kind: "accepted" });
  assert.deepEqual(sequence(STATE, asked(3, 1)), { kind: "epoch-sequence" });
});

Deno.test("records: idle producers are dropped for another one, busy ones are not", () => {
  const week_ms = 7 * 86_400_000;
  const many = (at_ms: number) =>
    Object.fromEntries(Array.from({ length: 256 }, (_, n) => [`p:${n}`, { ...STATE, at_ms }]));
  const next = { ...STATE, at_ms: week_ms };
  assert.equal(withProducer(many(1), "p:new", next, week_ms), undefined);
  assert.deepEqual(Object.keys(withProducer(many(0), "p:new", next, week_ms)!), ["p:new"]);
  assert.equal(Object.keys(withProducer(many(1), "p:3", next, week_ms)!).length, 256);
});

Deno.test("records: a stream ends at its time, or after it was not used for long", () => {
  assert.equal(isExpired(RECORD, Infinity), false);
  const idle = { ...RECORD, ttl_seconds: 2 };
  assert.deepEqual([isExpired(idle, 2_999), isExpired(idle, 3_000)], [false, true]);
  const until = { ...RECORD, expires_at: "1970-01-01T00:00:05+00:00" };
  assert.deepEqual([isExpired(until, 4_999), isExpired(until, 5_000)], [false, true]);
});

Deno.test("records: a fork has its own expiry, or its source's", () => {
  const expires_at = "2030-01-01T00:00:00Z";
  assert.deepEqual(forkExpiry({}, {}), {});
  assert.deepEqual(forkExpiry({}, { ttl_seconds: 3 }), { ttl_seconds: 3 });
  assert.deepEqual(forkExpiry({}, { expires_at }), { expires_at });
  assert.deepEqual(forkExpiry({ ttl_seconds: 1 }, { expires_at }), { ttl_seconds: 1 });
  assert.deepEqual(forkExpiry({ expires_at }, { ttl_seconds: 1 }), { expires_at });
});

Deno.test("records: a stored record is read back, and nothing else is read", () => {
  const producers = { "p:constructor": STATE };
  assert.deepEqual(decodeRecord(encodeRecord({ ...RECORD, producers })), { ...RECORD, producers });
  assert.equal(decodeRecord(new TextEncoder().encode("{}")), undefined);
  assert.equal(decodeRecord(new Uint8Array([255])), undefined);
});

const isFull = (error: unknown) => error instanceof StreamRefusal && error.code === 429;

Deno.test("population: a tenant has a limited number of streams, and expired ones are removed", async () => {
  await using engine = testSpine();
  let now_ms = SPINE_NOW_MS;
  const shield = streamShield(engine.spine, { per_tenant: 2, clock: () => now_ms });
  await shield.put("one", { "stream-ttl": "10" });
  await shield.put("two", { "stream-ttl": "1000" });
  await assert.rejects(shield.put("three"), isFull);
  await shield.put("two", { "stream-ttl": "1000" });
  now_ms += 60_000;
  await shield.put("three");
  assert.deepEqual((await shield.context.records.roomsOf("acme")).toSorted(), ["three", "two"]);
  await assert.rejects(shield.put("four"), isFull);
});

for (const [by, step_ms] of [["forward", 3_600_000], ["back", -3_600_000]] as const) {
  Deno.test(`a Shield whose wall clock is set ${by} by an hour removes no stream, and keeps none longer`, async () => {
    await using engine = testSpine();
    let passed_ms = 0;
    const logClock = () => SPINE_NOW_MS + passed_ms;
    const right = streamShield(engine.spine, { clock: logClock, logClock });
    const set = streamShield(engine.spine, { clock: () => logClock() + step_ms, logClock });
    await right.put("read", { "stream-ttl": "600", "content-type": "text/plain" }, "one");
    await right.put("left", { "stream-ttl": "600", "content-type": "text/plain" }, "one");
    passed_ms += 599_000;
    assert.deepEqual(await set.texts("read"), ["one"]);
    await set.post("read", { "content-type": "text/plain" }, "two");
    // Its message is some ms younger: the log's clock goes on.
    passed_ms += 11_000;
    await assert.rejects(set.texts("left"), /no such stream/);
    passed_ms += 588_000;
    assert.deepEqual(await right.texts("read"), ["one", "two"]);
    passed_ms += 1_000;
    await assert.rejects(right.texts("read"), /no such stream/);
  });
}

Deno.test("a message that is published in the room of a stream in another way prolongs it", async () => {
  await using engine = testSpine();
  let log_ms = SPINE_NOW_MS - 60_000;
  const shield = streamShield(engine.spine, { logClock: () => log_ms });
  for (const room of ["left", "open", "closed"]) {
    await shield.put(room, { "stream-ttl": "600", "content-type": "text/plain" });
  }
  await shield.post("closed", { "stream-closed": "true" }, "");
  const log = await shield.context.logs.of("acme");
  const event = { type: "t", data: new TextEncoder().encode("another's") };
  for (const room_id of ["open", "closed"]) {
    await log.append(room_id, writeEnvelope({ tenant_id: "acme", room_id, event }));
  }
  log_ms += 601_000;
  assert.deepEqual(await shield.texts("open"), ["another's"]);
  for (const room of ["left", "closed"]) {
    await assert.rejects(shield.texts(room), /no such stream/, room);
  }
  log_ms += 120_000;
  await assert.rejects(shield.texts("open"), /no such stream/);
});

Deno.test("population: an interrupted creation is forgotten after a while", async () => {
  await using engine = testSpine();
  let now_ms = SPINE_NOW_MS;
  const shield = streamShield(engine.spine, { clock: () => now_ms });
  const cut = streamShield(engine.spine, {
    clock: () => now_ms,
    onAppend: () => new Promise(() => {}),
  });
  void cut.put("r", {}, "first");
  const key = { tenant_id: "acme", room_id: "r" };
  while ((await shield.context.records.get(key)) === undefined) await engine.spine.flush();
  await assert.rejects(shield.texts("r"), /no such stream/);
  now_ms += 31_000;
  await shield.put("r", {}, "second");
  assert.deepEqual(await shield.texts("r"), ["second"]);
});

Deno.test("a tenant with many streams or producers leaves room in the bucket for another's", async () => {
  await using engine = testSpine();
  const stored = await engine.spine.keyValue(STREAMS_BUCKET);
  const bucket = overriding(stored, { limit_bytes: 40_000 });
  let now_ms = SPINE_NOW_MS;
  const spine = overriding(engine.spine, { keyValue: () => Promise.resolve(bucket) });
  const shield = streamShield(spine, { clock: () => now_ms });
  const text = { "content-type": "text/plain" };
  await shield.put("r", text);
  const post = (at: number, seq = "0") => {
    const id = `${at}`.padStart(128, "p");
    const producer = { "producer-id": id, "producer-epoch": "0", "producer-seq": seq };
    return shield.post("r", { ...text, ...producer }, "one");
  };
  const all = Array.from({ length: 200 }, (_, at) => post(at));
  const taken = (await Promise.allSettled(all)).filter(({ status }) => status === "fulfilled");
  assert.ok(taken.length > 50 && taken.length < 190, `${taken.length}`);
  await assert.rejects(post(200), isFull);
  await assert.rejects(shield.put("another", text), isFull);
  // Those that it has go on, and another tenant begins.
  await post(0, "1");
  const { records } = shield.context;
  assert.equal(await records.hasRoom("globex", 1_000), true);
  // Another Shield knows it, too.
  assert.equal(await new Records(spine).hasRoom("acme", 1_000), false);
  await stored.delete(["acme", "r"]);
  now_ms += 60_000;
  await shield.put("another", text);
});
