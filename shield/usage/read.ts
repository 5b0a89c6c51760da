/**
 * Reads a tenant's ledger of use: the minutes that Shields have stored, those that run, and which Shields were
 * killed before they had written everything. A minute that stands there twice counts once. Works in pages, so
 * that the thread is free between them.
 */
import type { BlockStore, StoredBlock } from "../../shared/spine/contract/block_store.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { turn } from "../../shared/turns/next_turn.ts";
import { decodeMinute, type UsageKey, type UsageMinute } from "../../shared/usage/minute.ts";
import { runningKey, type UsagePlace } from "../../shared/usage/place.ts";
import { type PriceBook, pricesAt } from "./price_book.ts";
import { addCounts, type Counts, noCounts } from "../../shared/usage/counts.ts";
import { amountsOf, costOf, type PriceList, type UsageAmounts } from "./units.ts";

const MINUTE_MS = 60_000;
const PAGE_BLOCKS = 512;
/** Minutes that are summed before others have a turn. */
const SLICE = 128;
/**
 * The store knows when it took a block, by its own clock: blocks that it took so much earlier than what is asked
 * for are read, too, since clocks differ and are set.
 */
export const CLOCKS_MS = 86_400_000;

/** By what use can be told apart. */
export const USAGE_BY = ["room", "user", "policy", "node", "minute", "hour", "day"] as const;
/** One of them. */
export type UsageBy = (typeof USAGE_BY)[number];

/** What is asked. */
export interface UsageQuestion {
  readonly tenant: string;
  /** Unix ms; minutes count that end after `since_ms` and begin before `until_ms`, which may be Infinity. */
  readonly since_ms: number;
  readonly until_ms: number;
  readonly by: readonly UsageBy[];
}

/** One row of the answer: what it is about, in the order of `by`, and how much. */
export interface UsageSum {
  readonly about: readonly (string | number)[];
  readonly amounts: UsageAmounts;
  /** By the prices that held on each of its days. */
  readonly cost: number;
}

/** A Shield that was killed: what it counted after that time is missing. */
export interface LostUse {
  readonly node_id: string;
  /** Until when all that it counted is here, Unix ms. */
  readonly after_ms: number;
  /** The most time for which it counted what is missing, in ms. */
  readonly most_ms: number;
}

/** What was found. */
export interface UsageFound {
  readonly rows: readonly UsageSum[];
  readonly total: UsageAmounts;
  readonly cost: number;
  readonly lost: readonly LostUse[];
  /** Nothing is missing from then on but what `lost` and `damaged` tell: what was before may have gone. */
  readonly whole_since_ms: number;
  /** Blocks that could not be read. */
  readonly damaged: number;
}

/** Where it is read. */
export interface UsageSource {
  readonly store: Pick<BlockStore, "read" | "status">;
  readonly running: Pick<KeyValue, "keys" | "get">;
  /** Which Shields ended before they had written all, how often each writes, and for how long it is kept. */
  readonly place: Pick<UsagePlace, "losses" | "flush_ms" | "kept_ms">;
  readonly book: PriceBook;
  /** Unix ms. */
  readonly now: () => number;
  /** The most rows of an answer. */
  readonly rows_max: number;
  /** Throws when there are more. */
  readonly refuse: () => never;
}

/** A minute and whose it is. */
export interface Told extends UsageMinute {
  readonly node_id: string;
}

/** Sums what is asked for. Rejects as the store rejects. */
export async function readUsage(
  source: UsageSource,
  question: UsageQuestion,
): Promise<UsageFound> {
  const sums = new Sums(question.by, source);
  // What runs is read first: once it is over, it is in the store by the time that is read, and whole.
  const running = await readRunning(source, question.tenant);
  const lost = await readLost(source, question);
  const damaged = await readStored(source, question, sums);
  for (const minute of running) if (isAsked(question, minute)) sums.add(minute);
  const whole_since_ms = await wholeSince(source, question);
  return { ...sums.result(), lost, whole_since_ms, damaged };
}

/** By now: what went while it was read is missing, too. */
async function wholeSince(
  { store, place, now }: UsageSource,
  { tenant, since_ms }: UsageQuestion,
): Promise<number> {
  const { whole_ms = 0 } = await store.status(tenant);
  return Math.max(since_ms, whole_ms, now() - place.kept_ms);
}

/** Adds what the store has; gives how many blocks could not be read. */
async function readStored(
  { store }: UsageSource,
  question: UsageQuestion,
  sums: Sums,
): Promise<number> {
  const { tenant: tenant_id, since_ms } = question;
  let damaged = 0;
  let after: number | undefined;
  for (;;) {
    const place = after === undefined ? { from_ms: Math.max(0, since_ms - CLOCKS_MS) } : { after };
    const page = await store.read({ tenant_id, limit: PAGE_BLOCKS, ...place });
    for (const [at, block] of page.blocks.entries()) {
      if (at % SLICE === SLICE - 1) await turn();
      const minute = toldIn(block);
      if (minute === undefined) damaged++;
      else if (isAsked(question, minute)) sums.add(minute);
    }
    const last = page.blocks.at(-1);
    if (page.is_end || last === undefined) return damaged;
    after = last.cursor;
  }
}

/** The minute in a stored block; undefined when it cannot be read. */
export function toldIn({ node_id, payload }: StoredBlock): Told | undefined {
  const minute = decodeMinute(payload);
  return minute === undefined ? undefined : { ...minute, node_id };
}

/** The minutes of a tenant that run, or that killed Shields have left. Rejects as the bucket rejects. */
export async function readRunning(
  { running }: Pick<UsageSource, "running">,
  tenant_id: string,
): Promise<Told[]> {
  const told: Told[] = [];
  for (const key of await running.keys(runningKey(tenant_id))) {
    const entry = await running.get(key);
    const minute = entry === undefined ? undefined : decodeMinute(entry.value);
    if (minute !== undefined) told.push({ ...minute, node_id: key[2] ?? "" });
  }
  return told;
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

function isAsked({ since_ms, until_ms }: UsageQuestion, { minute }: UsageMinute): boolean {
  const begins_ms = minute * MINUTE_MS;
  return begins_ms + MINUTE_MS > since_ms && begins_ms < until_ms;
}

type Bounds = Pick<UsageSource, "rows_max" | "refuse" | "book">;
/** Counts by the list that prices them. */
type PricedCounts = Map<PriceList, Counts>;

function countsOf(priced: PricedCounts, prices: PriceList): Counts {
  const counts = priced.get(prices) ?? noCounts();
  priced.set(prices, counts);
  return counts;
}

function sumOf(priced: PricedCounts): { amounts: UsageAmounts; cost: number } {
  const all = noCounts();
  let cost = 0;
  for (const [prices, counts] of priced) {
    addCounts(all, counts);
    cost += costOf(amountsOf(counts), prices);
  }
  return { amounts: amountsOf(all), cost };
}

/** The sums of an answer. */
class Sums {
  readonly #by: readonly UsageBy[];
  readonly #bounds: Bounds;
  readonly #rows = new Map<string, { about: readonly (string | number)[]; priced: PricedCounts }>();
  /** What was added of each life: a few megabytes for a month. */
  readonly #seen = new Set<string>();

  constructor(by: readonly UsageBy[], bounds: Bounds) {
    this.#by = by;
    this.#bounds = bounds;
  }

  /** Adds a minute of a Shield's life, the first time that it comes: all its blocks say the same. */
  add({ node_id, life_ms, seq, minute, rows }: Told): void {
    const seen = `${node_id} ${life_ms} ${seq}`;
    if (this.#seen.has(seen)) return;
    this.#seen.add(seen);
    const prices = pricesAt(this.#bounds.book, minute * MINUTE_MS);
    for (const { counts, ...key } of rows) {
      const about = this.#by.map((by) => aboutOf(by, key, node_id, minute));
      addCounts(countsOf(this.#row(about), prices), counts);
    }
  }

  result(): Pick<UsageFound, "rows" | "total" | "cost"> {
    const all: PricedCounts = new Map();
    const rows = [...this.#rows.values()];
    for (const { priced } of rows) {
      for (const [prices, counts] of priced) addCounts(countsOf(all, prices), counts);
    }
    const { amounts: total, cost } = sumOf(all);
    return { rows: rows.map(({ about, priced }) => ({ about, ...sumOf(priced) })), total, cost };
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

function aboutOf(
  by: UsageBy,
  key: UsageKey,
  node_id: string,
  minute: number,
): string | number {
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
