/**
 * What one tenant has used by day, summed from the minutes of all Shields as they are read one after the other.
 * A minute that is read twice counts once. Pure: who reads is `budget_used.ts`.
 */
import type { DayUse } from "./budget.ts";
import type { FoldedUse } from "./fold.ts";
import { type FoldLives, REMEMBERED } from "./fold_lives.ts";
import type { Told, UseSink } from "./stored_use.ts";
import type { UsageRow } from "../records/counts.ts";
import { addCounts, type Counts, noCounts } from "../records/counts.ts";

const DAY_MINUTES = 1_440;
const MINUTE_MS = 60_000;

const lifeOf = ({ node_id, life_ms }: Pick<Told, "node_id" | "life_ms">): string =>
  `${node_id} ${life_ms}`;

function addRows(counts: Counts, rows: readonly UsageRow[]): void {
  for (const row of rows) addCounts(counts, row.counts);
}

/** The use of one tenant. */
export class DayTotals implements UseSink {
  /** By day since 1970. */
  readonly #days = new Map<number, Counts>();
  readonly #lives = new Map<string, Pick<Told, "seq" | "minute">[]>();

  known(lives: FoldLives): void {
    for (const { stored_ms, seqs, ...life } of lives) {
      const minute = Math.floor(stored_ms / MINUTE_MS);
      this.#lives.set(lifeOf(life), seqs.map((seq) => ({ seq, minute })));
    }
  }

  /** Adds a minute that is over, the first time that it comes. */
  minute(told: Told): void {
    if (this.#isStored(told)) return;
    const life = lifeOf(told);
    const minutes = this.#lives.get(life) ?? [];
    minutes.push({ seq: told.seq, minute: told.minute });
    if (minutes.length > REMEMBERED) minutes.shift();
    this.#lives.set(life, minutes);
    this.#add(told.minute, told.rows);
  }

  folded({ begins, rows }: FoldedUse): void {
    this.#add(begins, rows);
  }

  /** The use of each day since that time, Unix ms, with the minutes that run. Days count as a whole. */
  since(begin_ms: number, running: readonly Told[]): DayUse[] {
    const first = Math.floor(begin_ms / MINUTE_MS / DAY_MINUTES);
    const days = new Map<number, Counts>();
    const countsOf = (day: number) => {
      const counts = days.get(day) ?? noCounts();
      days.set(day, counts);
      return counts;
    };
    for (const [day, own] of this.#days) if (day >= first) addCounts(countsOf(day), own);
    for (const told of running) {
      const day = Math.floor(told.minute / DAY_MINUTES);
      if (day >= first && !this.#isStored(told)) addRows(countsOf(day), told.rows);
    }
    return [...days].map(([day, counts]) => ({ day_ms: day * DAY_MINUTES * MINUTE_MS, counts }));
  }

  /** Forgets the days before that time, Unix ms. */
  forget(begin_ms: number): void {
    const first = Math.floor(begin_ms / MINUTE_MS / DAY_MINUTES);
    for (const day of this.#days.keys()) if (day < first) this.#days.delete(day);
    for (const [life, minutes] of this.#lives) {
      // A killed Shield's last minute may still stand among those that run, but is no longer asked for.
      if (minutes.every(({ minute }) => minute < first * DAY_MINUTES)) this.#lives.delete(life);
    }
  }

  #add(minute: number, rows: readonly UsageRow[]): void {
    const day = Math.floor(minute / DAY_MINUTES);
    const counts = this.#days.get(day) ?? noCounts();
    this.#days.set(day, counts);
    addRows(counts, rows);
  }

  #isStored(told: Told): boolean {
    return this.#lives.get(lifeOf(told))?.some(({ seq }) => seq === told.seq) === true;
  }
}
