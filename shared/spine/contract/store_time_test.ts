/** The time of a bucket follows its store, whatever this process's wall clock shows. */
import assert from "node:assert/strict";
import { StoreTime } from "./store_time.ts";

const HOUR_MS = 3_600_000;

Deno.test("time: the store's clock counts, and passes by the monotonic one until it is asked again", async () => {
  const clock = { wall_ms: 9 * HOUR_MS, monotonic_ms: 5, store_ms: 50 * HOUR_MS };
  let fails = false;
  let asked = 0;
  const storeTime = () => {
    asked++;
    return fails ? Promise.reject(new Error("away")) : Promise.resolve(clock.store_ms);
  };
  const bucket = { storeTime };
  const clocks = { now: () => clock.wall_ms, monotonic_ms: () => clock.monotonic_ms };
  const time = new StoreTime({ bucket, ...clocks });
  assert.equal(asked, 0);
  assert.equal(time.now(), 9 * HOUR_MS);
  await time.ask();
  assert.equal(time.now(), 50 * HOUR_MS);
  clock.wall_ms -= 2 * HOUR_MS;
  clock.monotonic_ms += 1_000;
  assert.equal(time.now(), 50 * HOUR_MS + 1_000);
  fails = true;
  await time.ask();
  assert.equal(time.now(), 50 * HOUR_MS + 1_000);
  fails = false;
  clock.store_ms = 40 * HOUR_MS;
  await time.ask();
  assert.equal(time.now(), 40 * HOUR_MS);
  clock.store_ms = 60 * HOUR_MS;
  clock.monotonic_ms += 9_999;
  const before = asked;
  assert.equal(time.now(), 40 * HOUR_MS + 9_999);
  assert.equal(asked, before);
  clock.monotonic_ms += 1;
  assert.equal(time.now(), 40 * HOUR_MS + 10_000);
  await time.ask();
  assert.deepEqual([time.now(), asked], [60 * HOUR_MS, before + 1]);
});

Deno.test("time: without a clock of the store it is the wall clock's", async () => {
  let wall_ms = 9 * HOUR_MS;
  const clocks = { now: () => wall_ms, monotonic_ms: () => 0 };
  const time = new StoreTime({ bucket: {}, ...clocks });
  await time.ask();
  wall_ms += 2 * HOUR_MS;
  assert.equal(time.now(), 11 * HOUR_MS);
});
