/**
 * The price lists of a bus, each with its first day by UTC: the price of a day depends neither on the reader nor on the
 * time of reading. Past months keep their lists. Pure; `prices.ts` stores the book.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { Counts } from "../records/counts.ts";
import { readStored } from "../records/stored.ts";
import { amountsOf, costOf, type PriceList, USAGE_UNITS } from "./units.ts";

const DAY_MS = 86_400_000;
/** The most lists: a change each day for more than two years. */
const LISTS_MAX = 1_000;
/** Lists that were replaced on their first day; a Shield that still has one changes nothing. */
const REPLACED_MAX = 100;

const Prices = z.partialRecord(z.enum(USAGE_UNITS), z.number().min(0));
const Stored = z.strictObject({
  v: z.literal(1),
  lists: z.array(z.strictObject({ from_ms: z.int().min(0), prices: Prices })).min(1),
  replaced: z.array(Prices),
});
/** The lists in the order of their days, and the replaced ones. */
export type PriceBook = Readonly<Omit<z.output<typeof Stored>, "v">>;

interface GivenPrices {
  readonly prices: PriceList;
  /** The start of their first day, Unix ms; undefined: the day on which they are added. */
  readonly from_ms: number | undefined;
  /** True: an operator has just changed them; false: read at a start, perhaps from an older configuration. */
  readonly is_change: boolean;
}

/** The result of adding prices. */
export type Taken =
  | { readonly book: PriceBook }
  /** They are in the book already. */
  | { readonly held: true }
  /** Other prices stay in force; `why` says what to do. */
  | { readonly why: string };

/** The same text for equal lists. */
const textOf = (prices: PriceList): string =>
  JSON.stringify(USAGE_UNITS.map((unit) => prices[unit] ?? 0));
const same = (one: PriceList, other: PriceList): boolean => textOf(one) === textOf(other);

/** The list in force at that time, Unix ms. */
export function pricesAt({ lists }: PriceBook, time_ms: number): PriceList {
  return (lists.findLast(({ from_ms }) => from_ms <= time_ms) ?? lists[0])?.prices ?? {};
}

/** The price of one day's counts; the day begins then, Unix ms. */
export const costOn = (book: PriceBook, day_ms: number, counts: Readonly<Counts>): number =>
  costOf(amountsOf(counts), pricesAt(book, day_ms));

/** The start of the day of a time, Unix ms. */
const dayOf = (time_ms: number): number => time_ms - time_ms % DAY_MS;

function monthOf(time_ms: number): number {
  const time = new Date(time_ms);
  return Date.UTC(time.getUTCFullYear(), time.getUTCMonth());
}

/** Adds prices to the book; undefined: there is none yet, and the first list covers all earlier days. */
export function take(book: PriceBook | undefined, given: GivenPrices, now_ms: number): Taken {
  const { prices, from_ms, is_change } = given;
  if (book === undefined) return { book: { lists: [{ from_ms: 0, prices }], replaced: [] } };
  if (from_ms !== undefined) return takeDated(book, prices, from_ms, now_ms);
  const last = book.lists.at(-1);
  if (last !== undefined && same(last.prices, prices)) return { held: true };
  const is_old = [...book.lists.map((list) => list.prices), ...book.replaced]
    .some((one) => same(one, prices));
  if (is_old && !is_change) {
    return { why: "they were replaced; reload, or name a prices_from, to have them again" };
  }
  return put(book, prices, dayOf(now_ms));
}

function takeDated(book: PriceBook, prices: PriceList, wanted_ms: number, now_ms: number): Taken {
  const there = book.lists.find(({ from_ms }) => from_ms === wanted_ms);
  if (there !== undefined && same(there.prices, prices)) return { held: true };
  if (there !== undefined && wanted_ms <= now_ms) {
    return { why: "other prices already apply from that day on; set a later prices_from" };
  }
  // A past month keeps its prices.
  const from_ms = Math.max(wanted_ms, monthOf(now_ms));
  if (from_ms !== wanted_ms && same(pricesAt(book, now_ms), prices)) return { held: true };
  if (from_ms !== wanted_ms && book.lists.some((list) => list.from_ms > wanted_ms)) {
    return { why: "their month has ended, and other prices apply since; set a later prices_from" };
  }
  return put(book, prices, from_ms);
}

function put({ lists, replaced }: PriceBook, prices: PriceList, from_ms: number): Taken {
  const before = lists.find((list) => list.from_ms === from_ms);
  const kept = lists.filter((list) => list !== before);
  if (kept.length >= LISTS_MAX) return { why: `there are ${LISTS_MAX} lists, the most` };
  return {
    book: {
      lists: [...kept, { from_ms, prices }].toSorted((a, b) => a.from_ms - b.from_ms),
      replaced: before === undefined ? replaced : [...replaced, before.prices].slice(-REPLACED_MAX),
    },
  };
}

/** The stored form: JSON. */
export const encodeBook = (book: PriceBook): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({ v: 1, ...book }));

/** Decodes a book. Throws `settings-conflict` for invalid bytes, and `incompatible-version`. */
export function decodeBook(bytes: Uint8Array): PriceBook {
  const book = readStored(bytes, Stored, "price book");
  if (book !== undefined) return { lists: book.lists, replaced: book.replaced };
  throw new ArqonError("settings-conflict", "the stored prices cannot be read");
}
