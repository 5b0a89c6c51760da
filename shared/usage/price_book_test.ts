/** The price book: past months keep their prices, and an older configuration changes nothing. */
import assert from "node:assert/strict";
import { statesOf } from "./budget.ts";
import { costOn, decodeBook, encodeBook, type PriceBook, pricesAt, take } from "./price_book.ts";
import { noCounts } from "../records/counts.ts";
import type { PriceList } from "./units.ts";

const NOW_MS = Date.UTC(2026, 10, 26, 9, 30);
const day = (month: number, of_month: number) => Date.UTC(2026, month - 1, of_month);
const price = (messages_in: number): PriceList => ({ messages_in });
const START: PriceBook = { lists: [{ from_ms: 0, prices: price(1) }], replaced: [] };

/** The book after adding prices; "held" or the reason otherwise. */
function after(
  book: PriceBook | undefined,
  prices: PriceList,
  { from_ms, is_change = true, now_ms = NOW_MS }: {
    from_ms?: number;
    is_change?: boolean;
    now_ms?: number;
  } = {},
): PriceBook | string {
  const taken = take(book, { prices, from_ms, is_change }, now_ms);
  return "book" in taken ? taken.book : "why" in taken ? taken.why : "held";
}

function taken(...args: Parameters<typeof after>): PriceBook {
  const book = after(...args);
  assert.ok(typeof book !== "string", String(book));
  return book;
}

Deno.test("prices: the first list covers all earlier days, and a later one begins at its day", () => {
  const first = taken(undefined, price(1));
  assert.deepEqual(first, START);
  const changed = taken(first, price(2));
  const at = [day(1, 1), day(11, 25), day(11, 26), NOW_MS, day(12, 1)];
  assert.deepEqual(at.map((ms) => pricesAt(changed, ms).messages_in), [1, 1, 2, 2, 2]);
  const dated = taken(first, price(3), { from_ms: day(12, 1) });
  assert.deepEqual(at.map((ms) => pricesAt(dated, ms).messages_in), [1, 1, 1, 1, 3]);
  assert.deepEqual(decodeBook(encodeBook(dated)), dated);
});

Deno.test("prices: a past month keeps its prices, whatever date is given", () => {
  const book = taken(START, price(2), { from_ms: day(9, 1) });
  assert.deepEqual(
    [day(9, 1), day(10, 31), day(11, 1)].map((ms) => pricesAt(book, ms).messages_in),
    [1, 1, 2],
  );
  // A start with the same configuration in the next month changes nothing.
  const next = { from_ms: day(9, 1), is_change: false, now_ms: day(12, 3) };
  assert.equal(after(book, price(2), next), "held");
  const third = taken(book, price(3), { now_ms: day(12, 2) });
  assert.match(String(after(third, price(2), next)), /set a later prices_from/);
});

Deno.test("prices: a restart with an older configuration does not restore its prices", () => {
  const today = taken(taken(START, price(2)), price(3));
  for (const old of [price(1), price(2)]) {
    assert.match(String(after(today, old, { is_change: false })), /they were replaced/);
  }
  assert.equal(after(today, price(3), { is_change: false }), "held");
  assert.equal(pricesAt(taken(today, price(2)), NOW_MS).messages_in, 2);
});

Deno.test("prices: those of a begun day stay, those of a future day may change", () => {
  const book = taken(START, price(2), { from_ms: day(11, 20) });
  const begun = after(book, price(4), { from_ms: day(11, 20) });
  assert.match(String(begun), /other prices already apply from that day on/);
  const planned = taken(book, price(5), { from_ms: day(12, 1) });
  const other = taken(planned, price(6), { from_ms: day(12, 1) });
  assert.deepEqual(other.lists.map(({ prices }) => prices.messages_in), [1, 2, 6]);
});

Deno.test("prices: the usage of a cost budget has the prices of each day", () => {
  const book = taken(START, price(10));
  const use = (day_ms: number) => ({ day_ms, counts: { ...noCounts(), messages_in: 3 } });
  const month = [use(day(11, 25)), use(day(11, 26))];
  const cost = { unit: "cost", limit: 100, action: "warn", messages_per_second: 1 } as const;
  const budgets = [{ ...cost, per: "day" }, { ...cost, per: "month" }] as const;
  const states = statesOf(budgets, { day: month.slice(1), month }, book, NOW_MS);
  assert.deepEqual(states.map(({ used }) => used), [30, 33]);
  assert.equal(costOn(book, day(11, 25), month[0]!.counts), 3);
});
