/** The fuel of a tenant's timers, and when its rooms ask again. Pure: time is a number here. */
import assert from "node:assert/strict";
import { TenantFuel } from "./tenant_fuel.ts";

const UNITS_PER_FUEL = 500;

function fuelOf(per_second: number) {
  const clock = { now_ms: 5_000 };
  const fuel = new TenantFuel({
    per_second: () => per_second,
    monotonic_ms: () => clock.now_ms,
    used: { inc: () => {} },
  });
  const spend = (amount: number) => {
    fuel.spend("t", amount * UNITS_PER_FUEL);
    fuel.spendTimers("t", amount * UNITS_PER_FUEL);
  };
  return { clock, fuel, spend };
}

Deno.test("timers have half of a tenant's fuel, and a quarter of a second of that at once", () => {
  const { clock, fuel, spend } = fuelOf(1_000_000);
  spend(124_000);
  assert.equal(fuel.timersWait("t"), 0);
  spend(51_000);
  assert.equal(fuel.timersWait("t"), 100);
  assert.deepEqual([fuel.wait("t"), fuel.timersWait("other")], [0, 0]);
  clock.now_ms += 101;
  assert.equal(fuel.timersWait("t"), 0);
});

Deno.test("waiting timers of rooms do not all run at once, nor too late", () => {
  const { clock, fuel, spend } = fuelOf(1_000_000);
  spend(175_000);
  // 500 fuel a room, of 500,000 per second.
  assert.deepEqual([1, 2, 3].map(() => fuel.timersTurn("t")), [100, 101, 102]);
  clock.now_ms += 50;
  assert.equal(fuel.timersTurn("t"), 53);
  for (let room = 0; room < 10_000; room++) fuel.timersTurn("t");
  assert.equal(fuel.timersTurn("t"), 1_050);
});
