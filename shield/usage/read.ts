/**
 * Reads a tenant's usage ledger: stored blocks, running minutes, and which Shields were killed before writing
 * everything. A repeated minute counts once. Hours and days count as a whole if any part of them is requested.
 */
import type { BlockStore } from "../../shared/spine/contract/block_store.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { slice } from "../../shared/turns/slices.ts";
import { FOLD_MINUTES, type FoldedBy, type FoldedUse } from "../../shared/usage/fold.ts";
import type { FoldLives } from "../../shared/usage/fold_lives.ts";
import {
  CLOCKS_MS,
  type NodeMinute,
  readRunning,
  readStoredUse,
  type UseSink,
} from "../../shared/usage/stored_use.ts";
import type { UsageKey, UsageRow } from "../../shared/records/counts.ts";
import type { UsageStores } from "../../shared/usage/usage_stores.ts";
import { type PriceBook, pricesAt } from "../../shared/usage/price_book.ts";
import { addCounts, type Counts, noCounts } from "../../shared/records/counts.ts";
import { amountsOf, costOf, type PriceList, type UsageAmounts } from "../../shared/usage/units.ts";

const MINUTE_MS = 60_000;
/** The rows that are summed without a pause. */
const ROWS_A_PIECE = 64;

/** The dimensions of an answer. */
export const USAGE_BY = ["room", "user", "policy", "node", "minute", "hour", "day"] as const;

/** A dimension of `USAGE_BY`. */
export type UsageBy = (typeof USAGE_BY)[number];

interface UsageQuestion {
  readonly tenant: string;
  /** Unix ms; counts what ends after `since_ms` and begins before `until_ms`, which may be Infinity. */
  readonly since_ms: number;
  readonly until_ms: number;
  readonly by: readonly UsageBy[];
}

/** One row of the answer: its dimensions, in the order of `by`, and amounts. */
interface UsageSum {
  readonly about: readonly (string | number)[];
  readonly amounts: UsageAmounts;
  /** By the prices of each of its days. */
  readonly cost: number;
}

/** A killed Shield: its counts after that time are missing. */
interface LostUse {
  readonly node_id: string;
  /** Everything counted before is included, Unix ms. */
  readonly after_ms: number;
  /** The most time of missing counts, in ms. */
  readonly most_ms: number;
}

/** The answer. */
interface UsageFound {
  readonly rows: readonly UsageSum[];
  readonly total: UsageAmounts;
  readonly cost: number;
  readonly lost: readonly LostUse[];
  /** The counted period: longer than requested if an hour or a day at the edge counts as a whole. */
  readonly since_ms: number;
  readonly until_ms: number;
  /** From then on only `lost` and `damaged` are missing; earlier blocks may have been removed. */
  readonly whole_since_ms: number;
  /** Unreadable blocks. */
  readonly damaged: number;
}

interface UsageSource {
  readonly store: Pick<BlockStore, "read" | "status" | "newest" | "aheadMs">;
  readonly running: Pick<KeyValue, "keys" | "get">;
  /** Which Shields ended before writing all, how often each writes, and the retention. */
  readonly place: Pick<UsageStores, "losses" | "flush_ms" | "kept_ms">;
  readonly book: PriceBook;
  /** Unix ms. */
  readonly now: () => number;
  readonly rows_max: number;
  /** Throws if there are more. */
  readonly refuse: () => never;
  /** Throws: before this time, Unix ms, usage is not split by that. */
  readonly refuseBy: (by: UsageBy, before_ms: number) => never;
}

/** Sums the requested usage. Rejects with errors of the store. */
export async function readUsage(source: UsageSource, question: UsageQuestion): Promise<UsageFound> {
  const { store, now, place } = source;
  const { tenant, since_ms } = question;
  // Running minutes are read first: one that finishes meanwhile is in the store, complete, when that is read.
  const running = await readRunning(source, question.tenant);
  const lost = await readLost(source, question);
  const from_ms = Math.max(0, since_ms - CLOCKS_MS);
  const { sink: sums, whole_ms, damaged } = await readStoredUse(
    store,
    tenant,
    from_ms,
    () => new Sums(question, source),
  );
  for (const minute of running) {
    await slice(tenant);
    sums.minute(minute);
  }
  const found = await sums.result();
  // Blocks expire by the store's clock: one that is behind would call whole what has expired.
  const kept_since_ms = now() + await store.aheadMs() - place.kept_ms;
  const whole_since_ms = Math.max(found.since_ms, whole_ms, kept_since_ms);
  return { ...found, lost, whole_since_ms, damaged };
}

async function readLost(
  { place, now }: UsageSource,
  { since_ms, until_ms }: UsageQuestion,
): Promise<LostUse[]> {
  const most_ms = 2 * place.flush_ms;
  const lost = (await place.losses(now())).map(({ life: { node_id }, from_ms: after_ms }) => ({
    node_id,
    after_ms,
    most_ms,
  }));
  return lost.filter(({ after_ms }) => after_ms + most_ms >= since_ms && after_ms < until_ms)
    .toSorted((a, b) => a.after_ms - b.after_ms);
}

type Bounds = Pick<UsageSource, "rows_max" | "refuse" | "refuseBy" | "book">;
/** Counts by the list that prices them. */
type PricedCounts = Map<PriceList, Counts>;

function countsOf(priced: PricedCounts, prices: PriceList): Counts {
  const counts = priced.get(prices) ?? noCounts();
  priced.set(prices, counts);
  return counts;
}

/** In the order of the book: the last digits of a sum depend on it. */
function sumOf(
  priced: PricedCounts,
  { lists }: PriceBook,
): { amounts: UsageAmounts; cost: number } {
  const at = (prices: PriceList) => lists.findIndex((list) => list.prices === prices);
  const all = noCounts();
  let cost = 0;
  for (const [prices, counts] of [...priced].toSorted(([a], [b]) => at(a) - at(b))) {
    addCounts(all, counts);
    cost += costOf(amountsOf(counts), prices);
  }
  return { amounts: amountsOf(all), cost };
}

class Sums implements UseSink {
  readonly #question: UsageQuestion;
  readonly #bounds: Bounds;
  readonly #rows = new Map<string, { about: readonly (string | number)[]; priced: PricedCounts }>();
  /** The added minutes of each incarnation: a few hundred, since older ones are folded. */
  readonly #seen = new Set<string>();
  #known: FoldLives | undefined;
  /** The period of folded usage that counts, Unix ms. */
  #begins_ms = Infinity;
  #ends_ms = -Infinity;
  /** The end of usage that is not split as requested. */
  #coarse_ms = -Infinity;

  constructor(question: UsageQuestion, bounds: Bounds) {
    this.#question = question;
    this.#bounds = bounds;
  }

  known(lives: FoldLives): void {
    this.#known = lives;
  }

  /** Adds a Shield's minute when it is read for the first time: all its blocks are equal. */
  minute(read: NodeMinute): void {
    const { node_id, life_ms, seq, minute, rows } = read;
    const seen = `${node_id} ${life_ms} ${seq}`;
    if (this.#seen.has(seen) || this.#known?.has(read) === true) return;
    this.#seen.add(seen);
    this.#add(node_id, minute, 1, rows);
  }

  folded({ by, begins, node_id, rows }: FoldedUse): void {
    const minutes = FOLD_MINUTES[by];
    if (!this.#add(node_id, begins, minutes, rows)) return;
    const ends_ms = (begins + minutes) * MINUTE_MS;
    this.#begins_ms = Math.min(this.#begins_ms, begins * MINUTE_MS);
    this.#ends_ms = Math.max(this.#ends_ms, ends_ms);
    if (this.#finer(by) !== undefined) this.#coarse_ms = Math.max(this.#coarse_ms, ends_ms);
  }

  /** The requested dimension that a fold lacks. */
  #finer(folded: FoldedBy): UsageBy | undefined {
    return this.#question.by.find((by) => by === "minute" || (by === "hour" && folded === "day"));
  }

  /** Adds the usage of these minutes, if it is requested. */
  #add(node_id: string, begins: number, minutes: number, rows: readonly UsageRow[]): boolean {
    const { since_ms, until_ms, by: asked_by } = this.#question;
    const begins_ms = begins * MINUTE_MS;
    if (begins_ms + minutes * MINUTE_MS <= since_ms || begins_ms >= until_ms) return false;
    const prices = pricesAt(this.#bounds.book, begins_ms);
    for (const { counts, ...key } of rows) {
      const about = asked_by.map((by) => aboutOf(by, key, node_id, begins));
      addCounts(countsOf(this.#row(about), prices), counts);
    }
    return true;
  }

  async result(): Promise<
    Pick<UsageFound, "rows" | "total" | "cost" | "since_ms" | "until_ms">
  > {
    const { tenant, since_ms, until_ms } = this.#question;
    const finer = this.#finer("day");
    if (finer !== undefined && this.#coarse_ms > 0) this.#bounds.refuseBy(finer, this.#coarse_ms);
    const { book } = this.#bounds;
    const all: PricedCounts = new Map();
    const rows: UsageSum[] = [];
    for (const { about, priced } of this.#rows.values()) {
      if (rows.length % ROWS_A_PIECE === 0) await slice(tenant);
      for (const [prices, counts] of priced) addCounts(countsOf(all, prices), counts);
      rows.push({ about, ...sumOf(priced, book) });
    }
    const { amounts: total, cost } = sumOf(all, book);
    return {
      rows,
      total,
      cost,
      since_ms: Math.min(since_ms, this.#begins_ms),
      until_ms: Math.max(until_ms, this.#ends_ms),
    };
  }

  #row(about: readonly (string | number)[]): PricedCounts {
    const key = JSON.stringify(about);
    let row = this.#rows.get(key);
    if (row === undefined) {
      if (this.#rows.size >= this.#bounds.rows_max) this.#bounds.refuse();
      this.#rows.set(key, row = { about, priced: new Map() });
    }
    return row.priced;
  }
}

const HOUR = 60;
const DAY = 1_440;

function aboutOf(by: UsageBy, key: UsageKey, node_id: string, minute: number): string | number {
  switch (by) {
    case "room":
    case "user":
    case "policy":
      return key[by];
    case "node":
      return node_id;
    case "minute":
      return minute * MINUTE_MS;
    case "hour":
      return (minute - minute % HOUR) * MINUTE_MS;
    case "day":
      return (minute - minute % DAY) * MINUTE_MS;
    default:
      return by satisfies never;
  }
}
