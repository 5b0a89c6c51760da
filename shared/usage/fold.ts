/**
 * Minutes of usage summed into hours, and hours into days (folds): the encoding of such a block. Each has one sum by
 * node, room, user and policy, so that an answer is exactly the same before and after. Blocks stay in the order of
 * their cursors: a fold says up to which cursor the blocks of the level below are folded. Pure; `folder.ts` folds.
 */
import { z } from "zod";
import { FOLD_WRITERS } from "../spine/contract/block_store.ts";
import { addCounts, COUNTERS, type Counts, type UsageRow } from "../records/counts.ts";
import { rowsOf, StoredRows, storedRows } from "./minute.ts";
import { encodeLives, FoldLives, StoredLives } from "./fold_lives.ts";
import { readStored } from "../records/stored.ts";

/** The kinds of folds. */
export type FoldedBy = keyof typeof FOLD_WRITERS;
/** Their lengths, in minutes. */
export const FOLD_MINUTES: Readonly<Record<FoldedBy, number>> = { hour: 60, day: 1_440 };

/** The usage of a node in the hour or day that begins then, in minutes since 1970. */
export interface FoldedUse {
  readonly by: FoldedBy;
  readonly begins: number;
  readonly node_id: string;
  readonly rows: readonly UsageRow[];
}

/** A stored fold. */
export interface Fold {
  readonly use: readonly FoldedUse[];
  /** The oldest unfolded block: those of the level below with a smaller cursor are folded. */
  readonly next: number;
  /** When the newest block in it was stored, Unix ms by the store's clock. */
  readonly stored_ms: number;
  /** Blocks stored after that time are in this fold, or in later ones; 0: there is no earlier fold. */
  readonly since_ms: number;
  /** No block stored then or later was missing when the fold was made. */
  readonly whole_ms: number;
  /** Unreadable blocks in it. */
  readonly damaged: number;
  /** The minutes in folds: a repeated one does not count again. None in days. */
  readonly lives: FoldLives;
}

const whole = z.int().min(0);
const Stored = z.strictObject({
  v: z.literal(1),
  next: whole,
  stored: whole,
  since: whole,
  whole,
  damaged: whole.optional(),
  lives: StoredLives.optional(),
  use: z.array(z.tuple([whole, z.string().max(256), StoredRows])),
});

/** The stored form of a fold. */
export function encodeFold(fold: Fold): Uint8Array {
  const { use, next, stored_ms, since_ms, whole_ms, damaged, lives } = fold;
  const stored: z.input<typeof Stored> = {
    v: 1,
    next,
    stored: stored_ms,
    since: since_ms,
    whole: whole_ms,
    ...(damaged > 0 ? { damaged } : {}),
    ...(lives.size > 0 ? { lives: encodeLives(lives) } : {}),
    use: use.map(({ begins, node_id, rows }) => [begins, node_id, storedRows(rows)]),
  };
  return new TextEncoder().encode(JSON.stringify(stored));
}

/** Decodes a fold; undefined for any other bytes. */
export function decodeFold(by: FoldedBy, bytes: Uint8Array): Fold | undefined {
  const data = readStored(bytes, Stored, "hour of usage");
  if (data === undefined) return undefined;
  return {
    use: data.use.map(([begins, node_id, rows]) => ({ by, begins, node_id, rows: rowsOf(rows) })),
    next: data.next,
    stored_ms: data.stored,
    since_ms: data.since,
    whole_ms: data.whole,
    damaged: data.damaged ?? 0,
    lives: new FoldLives(data.lives),
  };
}

/** The kind of fold in a block; undefined for a node's minute. */
export function foldedBy(node_id: string): FoldedBy | undefined {
  if (node_id === FOLD_WRITERS.hour) return "hour";
  return node_id === FOLD_WRITERS.day ? "day" : undefined;
}

/** The most bytes of one fold's sums, so that it fits one block with its incarnations. */
const SUM_BYTES = 393_216;
const COUNTS_BYTES = COUNTERS.length * 17;
/** Bytes of a row's brackets and commas, and of the beginning of a node's hour. */
const MARKS_BYTES = 16;
/** How much larger than its block a sum may become, whose counts may have more digits. */
const GROWTH = 8;

const bytesOf = (...names: readonly string[]): number =>
  new TextEncoder().encode(JSON.stringify(names)).length + MARKS_BYTES;

/** A growing sum. */
export class FoldSum {
  readonly #by: FoldedBy;
  readonly #units = new Map<
    string,
    { begins: number; node_id: string; rows: Map<string, UsageRow & { counts: Counts }> }
  >();
  #bytes = 0;

  constructor(by: FoldedBy) {
    this.#by = by;
  }

  get use(): FoldedUse[] {
    return [...this.#units.values()].map(({ begins, node_id, rows }) => ({
      by: this.#by,
      begins,
      node_id,
      rows: [...rows.values()],
    }));
  }

  /** Whether a block of this size fits; a single block always does. */
  hasRoom(block_bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + GROWTH * block_bytes <= SUM_BYTES;
  }

  add(minute: number, node_id: string, rows: readonly UsageRow[]): void {
    const begins = minute - minute % FOLD_MINUTES[this.#by];
    const name = `${begins} ${node_id}`;
    let unit = this.#units.get(name);
    if (unit === undefined) {
      this.#units.set(name, unit = { begins, node_id, rows: new Map() });
      this.#bytes += bytesOf(name);
    }
    for (const { room, user, policy, counts } of rows) {
      const key = JSON.stringify([room, user, policy]);
      const known = unit.rows.get(key);
      if (known !== undefined) addCounts(known.counts, counts);
      else {
        unit.rows.set(key, { room, user, policy, counts: { ...counts } });
        this.#bytes += bytesOf(room, user, policy) + COUNTS_BYTES;
      }
    }
  }
}
