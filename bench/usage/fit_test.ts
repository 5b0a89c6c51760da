/** Fitted prices equal the prices that made the runs, and none is below zero. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { fitPrices, pricedAt } from "./fit.ts";

const UNITS = ["messages_in", "deliveries", "bytes_out"] as const;

Deno.test("prices: runs of known prices give these prices again", () => {
  const price = fc.double({ min: 0.001, max: 1_000, noNaN: true });
  fc.assert(
    fc.property(price, price, price, (messages_in, deliveries, bytes_out) => {
      const prices = { messages_in, deliveries, bytes_out };
      const runs = [[9, 1, 1], [1, 9, 1], [1, 1, 9], [5, 5, 1], [1, 5, 5]].map((used) => {
        const amounts = Object.fromEntries(UNITS.map((unit, at) => [unit, used[at]!]));
        return { amounts, cost: pricedAt(prices, amounts) };
      });
      const found = fitPrices(runs, UNITS);
      for (const { amounts, cost } of runs) {
        assert.ok(Math.abs(pricedAt(found, amounts) / cost - 1) < 1e-3, JSON.stringify(found));
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("prices: no price is below zero for any runs, and an unused unit is free", () => {
  const run = fc.record({
    amounts: fc.record({ messages_in: fc.nat(100), deliveries: fc.nat(100) }),
    cost: fc.integer({ min: 1, max: 100 }),
  });
  fc.assert(
    fc.property(fc.array(run, { minLength: 1, maxLength: 6 }), (runs) => {
      const prices = fitPrices(runs, UNITS);
      assert.equal(prices["bytes_out"], 0);
      for (const unit of UNITS) assert.ok(prices[unit]! >= 0);
    }),
    { numRuns: 50 },
  );
});
