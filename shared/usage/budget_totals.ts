/**
 * The usage of one tenant by day, summed from all Shields' minutes as they are read. A minute read twice counts once.
 * Pure: `budget_used.ts` reads.
 */
import type { DayUse, Period } from "./budget.ts";
import type { FoldedUse } from "./fold.ts";
import { type FoldLives, REMEMBERED } from "./fold_lives.ts";
import type { NodeMinute, UseSink } from "./stored_use.ts";
import { addCounts, type Counts, noCounts, type UsageRow } from "../records/counts.ts";

const DAY_MINUTES = 1_440;
const MINUTE_MS = 60_000;

const dayOf = (time_ms: number): number => Math.floor(time_ms / MINUTE_MS / DAY_MINUTES);

const lifeOf = ({ node_id, life_ms }: Pick<NodeMinute, "node_id" | "life_ms">): string =>
  `${node_id} ${life_ms}`;

function addRows(counts: Counts, rows: readonly UsageRow[]): void {
  for (const row of rows) addCounts(counts, row.counts);
}

/** Sums by day, each minute once. */
export class DayTotals implements UseSink {
  /** By day since 1970. */
  readonly #days = new Map<number, Counts>();
  readonly #lives = new Map<string, Pick<NodeMinute, "seq" | "minute">[]>();

  known(lives: FoldLives): void {
    for (const { stored_ms, seqs, ...life } of lives) {
      const minute = Math.floor(stored_ms / MINUTE_MS);
      this.#lives.set(lifeOf(life), seqs.map((seq) => ({ seq, minute })));
    }
  }

  /** Adds a finished minute the first time that it is read. */
  minute(read: NodeMinute): void {
    if (this.#isStored(read)) return;
    const life = lifeOf(read);
    const minutes = this.#lives.get(life) ?? [];
    minutes.push({ seq: read.seq, minute: read.minute });
    if (minutes.length > REMEMBERED) minutes.shift();
    this.#lives.set(life, minutes);
    this.#add(read.minute, read.rows);
  }

  folded({ begins, rows }: FoldedUse): void {
    this.#add(begins, rows);
  }

  /**
   * The usage of each day of a period, including running minutes. Days count as a whole. There is later usage if the
   * clock was ahead.
   */
  in({ begin_ms, end_ms }: Period, running: readonly NodeMinute[]): DayUse[] {
    const isIn = (day: number) => day >= dayOf(begin_ms) && day < dayOf(end_ms);
    const days = new Map<number, Counts>();
    const countsOf = (day: number) => days.getOrInsertComputed(day, noCounts);
    for (const [day, own] of this.#days) if (isIn(day)) addCounts(countsOf(day), own);
    for (const read of running) {
      const day = Math.floor(read.minute / DAY_MINUTES);
      if (isIn(day) && !this.#isStored(read)) addRows(countsOf(day), read.rows);
    }
    return [...days].map(([day, counts]) => ({ day_ms: day * DAY_MINUTES * MINUTE_MS, counts }));
  }

  /** Drops the days before that time, Unix ms. */
  forget(begin_ms: number): void {
    const first = dayOf(begin_ms);
    for (const day of this.#days.keys()) if (day < first) this.#days.delete(day);
    for (const [life, minutes] of this.#lives) {
      // A killed Shield's last minute may still be among the running ones, but is no longer needed.
      if (minutes.every(({ minute }) => minute < first * DAY_MINUTES)) this.#lives.delete(life);
    }
  }

  #add(minute: number, rows: readonly UsageRow[]): void {
    const day = Math.floor(minute / DAY_MINUTES);
    addRows(this.#days.getOrInsertComputed(day, noCounts), rows);
  }

  #isStored(read: NodeMinute): boolean {
    return this.#lives.get(lifeOf(read))?.some(({ seq }) => seq === read.seq) === true;
  }
}
