/** Records: producers' sequences, expiry, the stored form. */
import assert from "node:assert/strict";
import {
  decodeRecord,
  encodeRecord,
  forkExpiry,
  isExpired,
  sequence,
  withProducer,
} from "./record.ts";
import type { ProducerState, StreamRecord } from "./record.ts";

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
