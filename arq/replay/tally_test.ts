/** Counts by names that users choose, and percentiles of fuel compared with sorted figures. */
import assert from "node:assert/strict";
import {
  addCounts,
  addUnits,
  type Counts,
  countWithin,
  emptyHistogram,
  fuelFigures,
  OTHERS,
  plain,
} from "./tally.ts";
import fc from "fast-check";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";

Deno.test("replay: senders are counted one by one up to a limit, whatever their names", () => {
  const one: Counts = new Map();
  const other: Counts = new Map();
  for (const by_sender of [one, other]) {
    for (const name of ["constructor", "__proto__", "ann"]) countWithin(2, by_sender, name);
  }
  addCounts({ by_sender: one }, { by_sender: other });
  const counts = [["constructor", 2], ["__proto__", 2], [OTHERS, 2]];
  assert.deepEqual(Object.entries(plain({ by_sender: one }).by_sender), counts);
});

Deno.test("fuel histogram: percentiles to one percent, sums exact, over two halves as over one", () => {
  const units = fc.array(fc.integer({ min: 0, max: 5_000_000 }), { minLength: 1, maxLength: 300 });
  fc.assert(fc.property(units, fc.nat(300), (all, cut) => {
    const whole = emptyHistogram();
    const first = emptyHistogram();
    const second = emptyHistogram();
    for (const [at, one] of all.entries()) {
      addUnits(whole, one);
      addUnits(at < cut ? first : second, one);
    }
    addCounts(first, second);
    const figures = fuelFigures(first);
    assert.deepEqual(figures, fuelFigures(whole));
    const sorted = [...all].sort((one, other) => one - other);
    const median = sorted[Math.ceil(all.length / 2) - 1]! / UNITS_PER_FUEL;
    assert.ok(Math.abs(figures.p50 - median) <= median * 0.01 + 2 / UNITS_PER_FUEL);
    assert.equal(figures.sum, Math.round(all.reduce((sum, one) => sum + one, 0) / UNITS_PER_FUEL));
  }));
});
