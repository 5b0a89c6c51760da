/** The number of a tenant's jobs at a worker: few until they are known to be short. Pure. */
import assert from "node:assert/strict";
import { UnderWay } from "./pool_lane.ts";

const job = (tenant_id: string, size_bytes = 1) => ({
  request: { tenant_id, payload: new Uint8Array(size_bytes) },
});

/** Adds until there is no room; returns the numbers. */
function fill(window: UnderWay<ReturnType<typeof job>>, tenant_id: string): number[] {
  const numbers: number[] = [];
  while (!window.is_full && window.hasRoom(tenant_id, job(tenant_id))) {
    numbers.push(window.add(job(tenant_id)));
  }
  return numbers;
}

Deno.test("an unknown tenant has 8 places, a quick one 256, and a slow one 8 again", () => {
  const window = new UnderWay<ReturnType<typeof job>>(1_000);
  const [first] = fill(window, "a");
  assert.equal(window.count("a"), 8);
  window.take(first!);
  window.learn("a", false);
  fill(window, "a");
  assert.equal(window.count("a"), 16);
  for (let time = 0; time < 10; time++) window.learn("a", false);
  const numbers = fill(window, "a");
  assert.equal(window.count("a"), 256);
  window.learn("a", true);
  for (const number of numbers) window.take(number);
  assert.equal(window.count("a"), 16);
  assert.equal(window.hasRoom("a", job("a")), false);
  assert.equal(window.hasRoom("b", job("b")), true, "each tenant has its own");
});

Deno.test("all tenants together have a limit in jobs and in bytes, and so does a small queue", () => {
  const window = new UnderWay<ReturnType<typeof job>>(1_000);
  for (let tenant = 0; tenant < 200; tenant++) fill(window, `t${tenant}`);
  assert.deepEqual([window.size, window.is_full], [1_024, true]);
  assert.equal(window.clear().length, 1_024);
  assert.deepEqual([window.size, window.count("t0")], [0, 0]);
  window.add(job("a", 33_554_432));
  assert.equal(window.hasRoom("b", job("b")), false);
  const small = new UnderWay<ReturnType<typeof job>>(3);
  fill(small, "a");
  assert.equal(small.count("a"), 3);
});
