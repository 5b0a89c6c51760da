/** Budgets as arithmetic: periods join without a gap, the strictest wins, and a minute counts once. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { TenantBudget } from "../config/schema_usage.ts";
import { type Counts, noCounts } from "../records/counts.ts";
import { type PriceList, USAGE_UNITS } from "./units.ts";
import { inForce, nameOf, periodAt, statesOf, strictest } from "./budget.ts";
import { DayTotals } from "./budget_totals.ts";

const DAY_MS = 86_400_000;
const bookOf = (prices: PriceList) => ({ lists: [{ from_ms: 0, prices }], replaced: [] });
const DAY_MINUTES = 1_440;
const NOW_MS = Date.UTC(2026, 1, 28, 13);
const time = fc.integer({ min: 0, max: Date.UTC(2100, 0) });
const per = fc.constantFrom("day" as const, "month" as const);
const budget: fc.Arbitrary<TenantBudget> = fc.record({
  per,
  unit: fc.constantFrom(...USAGE_UNITS, "cost" as const),
  limit: fc.integer({ min: 0, max: 100 }),
  action: fc.constantFrom("warn" as const, "slow" as const, "refuse" as const),
  messages_per_second: fc.integer({ min: 1, max: 10 }),
});
const counts = fc.record({
  messages_in: fc.nat(100),
  bytes_in: fc.nat(100),
  messages_out: fc.nat(100),
  bytes_out: fc.nat(100),
  deliveries: fc.nat(100),
  connection_ms: fc.nat(6_000_000),
  fuel_units: fc.nat(50_000),
  schema_steps: fc.nat(100),
  commands: fc.nat(100),
  log_bytes: fc.nat(100),
  reads: fc.nat(100),
  read_bytes: fc.nat(100),
}) satisfies fc.Arbitrary<Counts>;

Deno.test("periods: every time is in one, and they are adjacent", () => {
  fc.assert(fc.property(per, time, (per, now_ms) => {
    const { begin_ms, end_ms } = periodAt(per, now_ms);
    assert.ok(begin_ms <= now_ms && now_ms < end_ms);
    assert.deepEqual(periodAt(per, begin_ms), { begin_ms, end_ms });
    assert.equal(periodAt(per, end_ms).begin_ms, end_ms);
    assert.equal(begin_ms % DAY_MS, 0);
    assert.equal(
      new Date(begin_ms).getUTCDate(),
      per === "month" ? 1 : new Date(now_ms).getUTCDate(),
    );
  }));
  assert.equal(periodAt("month", NOW_MS).end_ms, Date.UTC(2026, 2));
});

Deno.test("budgets: of two with one name the later list's applies, and no other is lost", () => {
  fc.assert(fc.property(fc.array(budget), fc.array(budget), (general, own) => {
    const held = inForce(general, own);
    const names = new Set([...general, ...own].map(nameOf));
    assert.deepEqual(new Set(held.map(nameOf)), names);
    assert.equal(held.length, names.size);
    for (const one of held) {
      const last = own.findLast((other) => nameOf(other) === nameOf(one)) ??
        general.findLast((other) => nameOf(other) === nameOf(one));
      assert.equal(one, last);
    }
  }));
});

Deno.test("budgets: usage counts in its period, and restarts in the next", () => {
  fc.assert(fc.property(fc.array(budget, { minLength: 1 }), counts, (budgets, some) => {
    const used = { day: [{ day_ms: NOW_MS, counts: some }], month: [{ day_ms: 0, counts: some }] };
    const none = { day: [], month: [] };
    const first = statesOf(budgets, used, bookOf({ messages_in: 1, fuel: 0.5 }), NOW_MS);
    const later = statesOf(budgets, none, bookOf({ messages_in: 1, fuel: 0.5 }), NOW_MS + 1, first);
    for (const [at, { budget: { unit }, used }] of later.entries()) {
      assert.equal(used, unit === "cost" ? 0 : first[at]?.used, unit);
    }
    const next_ms = periodAt("month", NOW_MS).end_ms;
    const anew = statesOf(budgets, none, bookOf({ messages_in: 1, fuel: 0.5 }), next_ms, later);
    for (const { used, budget, is_exhausted } of anew) {
      assert.equal(used, 0);
      assert.equal(is_exhausted, budget.limit === 0);
    }
  }));
});

Deno.test("budgets: only exhausted ones block, and the strictest applies", () => {
  fc.assert(fc.property(fc.array(budget), counts, (budgets, some) => {
    const used = { day: [{ day_ms: 0, counts: some }], month: [{ day_ms: 0, counts: some }] };
    const states = statesOf(budgets, used, bookOf({ commands: 1 }), NOW_MS);
    const found = strictest(states, NOW_MS);
    const holding = states.filter(({ is_exhausted, budget }) =>
      is_exhausted && budget.action !== "warn"
    );
    assert.equal(found !== undefined, holding.length > 0);
    if (found === undefined) return;
    assert.ok(found.used >= found.budget.limit);
    if (holding.some(({ budget }) => budget.action === "refuse")) {
      assert.equal(found.budget.action, "refuse");
      const ends = holding.filter(({ budget }) => budget.action === "refuse");
      assert.equal(found.end_ms, Math.max(...ends.map(({ end_ms }) => end_ms)));
    } else {
      const rates = holding.map(({ budget }) => budget.messages_per_second);
      assert.equal(found.budget.messages_per_second, Math.min(...rates));
    }
    assert.equal(strictest(states, periodAt("month", NOW_MS).end_ms), undefined);
  }));
});

Deno.test("totals: however minutes are read, and read again, each counts once", () => {
  const read = fc.record({
    node: fc.constantFrom("a", "b"),
    minute: fc.integer({ min: 0, max: 40 }),
    messages_in: fc.nat(9),
  });
  fc.assert(
    fc.property(
      fc.uniqueArray(read, { selector: (one) => `${one.node} ${one.minute}` }),
      fc.nat(3),
      (all, twice) => {
        const minutes = all.toSorted((a, b) => a.minute - b.minute).map((
          { node, minute, messages_in },
        ) => ({
          node_id: node,
          life_ms: 1,
          seq: minute,
          minute: DAY_MINUTES - 20 + minute,
          until_ms: 0,
          rows: [{ room: "", user: "", policy: "", counts: { ...noCounts(), messages_in } }],
        }));
        const running = minutes.slice(-3);
        const totals = new DayTotals();
        for (const [at, one] of minutes.slice(0, -1).entries()) {
          totals.minute(one);
          if (at % 4 === twice) totals.minute(one);
        }
        const sumOf = (first_day: number, end_day: number) =>
          minutes.filter(({ minute }) =>
            minute >= first_day * DAY_MINUTES && minute < end_day * DAY_MINUTES
          ).reduce((sum, { rows }) => sum + rows[0]!.counts.messages_in, 0);
        const used = (first_day: number, end_day: number, now: typeof running = running) =>
          totals.in({ begin_ms: first_day * DAY_MS, end_ms: end_day * DAY_MS }, now)
            .reduce((sum, one) => sum + one.counts.messages_in, 0);
        assert.equal(used(0, 2), sumOf(0, 2));
        assert.equal(used(0, 1), sumOf(0, 1));
        assert.equal(used(1, 2), sumOf(1, 2));
        totals.forget(DAY_MS);
        assert.equal(used(0, 2, []) <= sumOf(1, 2), true);
        assert.equal(used(1, 2), sumOf(1, 2));
      },
    ),
  );
});
