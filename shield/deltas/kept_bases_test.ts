// The bases that a connection is assumed to have: the latest within its bytes, with every eviction counted.
import assert from "node:assert/strict";
import { DeltaBases, DeltaCounts } from "./deltas.ts";

const LIMITS = {
  delta_bases_per_room: 4,
  delta_bytes: 6_000,
  delta_message_bytes: 2_000,
  delta_bytes_per_connection: 1_000,
};
const asked = (delta_bytes: number) => ({ delta: true, delta_bytes, vcdiff: true });

Deno.test("what came first goes when there is no room, and data that alone is too large is not kept", () => {
  const stats = new DeltaCounts();
  const connection = {};
  const { kept } = new DeltaBases(LIMITS, stats).wish(connection, asked(5_000)) ?? {};
  assert.ok(kept);
  assert.equal(kept.bytes_max, 1_000);
  assert.deepEqual([kept.fits(744), kept.fits(745)], [true, false]);
  kept.replace(0, 1, 244);
  kept.replace(0, 2, 244);
  kept.replace(1, 3, 200);
  assert.deepEqual([1, 2, 3].map((number) => kept.has(number)), [false, true, true]);
  assert.equal(stats.let_go, 0);
  kept.replace(0, 4, 1);
  assert.deepEqual([2, 3, 4].map((number) => kept.has(number)), [false, true, true]);
  assert.equal(stats.let_go, 1);
});

Deno.test("the first SUB that says how much is kept says it for the connection", () => {
  const stats = new DeltaCounts();
  const connection = {};
  const deltas = new DeltaBases(LIMITS, stats);
  assert.equal(deltas.wish(connection, { ...asked(9), delta: false }), undefined);
  assert.deepEqual(deltas.wish(connection, asked(0)), { vcdiff: true, kept: undefined });
  const first = deltas.wish(connection, asked(400))?.kept;
  assert.equal(deltas.wish(connection, asked(900))?.kept, first);
  assert.equal(first?.bytes_max, 400);
});
