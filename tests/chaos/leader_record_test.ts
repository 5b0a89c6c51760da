/** Times without a leader are told when they are long, whether they are over or not. */
import assert from "node:assert/strict";
import { describeLeaderless, LeaderRecord } from "./leader_record.ts";

Deno.test("an election is not told, a stream that nobody leads for long is, while it lasts and after", () => {
  const record = new LeaderRecord();
  record.seen("KV_A", true, 0);
  record.seen("KV_A", false, 1_000);
  record.seen("KV_B", false, 1_000);
  record.seen("KV_B", true, 20_000);
  assert.deepEqual(record.times(30_999), []);
  assert.deepEqual(record.lasting(31_000).map(({ stream }) => stream), ["KV_A"]);
  record.seen("KV_A", false, 61_000);
  assert.deepEqual(record.times(61_000).map(describeLeaderless), [
    "NATS had no leader for KV_A for 60.0 s from 1.0 s on, and has none now",
  ]);
  record.seen("KV_A", true, 62_000);
  record.seen("KV_A", false, 63_000);
  assert.deepEqual(record.lasting(63_000), []);
  assert.deepEqual(record.times(63_000).map(describeLeaderless), [
    "NATS had no leader for KV_A for 61.0 s from 1.0 s on",
  ]);
});
