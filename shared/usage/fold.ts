/**
 * Minutes of use summed into hours, and hours into days: what such a block says, as bytes and back. Each has one sum
 * by node, room, user and policy, so that an answer is the same to the unit before and after. Blocks stay in the
 * order of their cursors: a fold says up to which cursor the blocks below it are in folds. Pure; who folds is
 * `folder.ts`.
 */
import { z } from "zod";
import { FOLD_WRITERS } from "../spine/contract/block_store.ts";
import type { UsageRow } from "../records/counts.ts";
import { rowsOf, StoredRows, storedRows } from "./minute.ts";
import { addCounts, COUNTERS, type Counts } from "../records/counts.ts";
import { encodeLives, FoldLives, StoredLives } from "./fold_lives.ts";
import { readStored } from "../records/stored.ts";

/** What folds are made by. */
export type FoldedBy = keyof typeof FOLD_WRITERS;
/** How long they are, in minutes. */
export const FOLD_MINUTES: Readonly<Record<FoldedBy, number>> = { hour: 60, day: 1_440 };

/** What a node used in an hour or a day that begins then, in minutes since 1970. */
export interface FoldedUse {
  readonly by: FoldedBy;
  readonly begins: number;
  readonly node_id: string;
  readonly rows: readonly UsageRow[];
}

/** What a stored fold says. */
export interface Fold {
  readonly use: readonly FoldedUse[];
  /** The oldest block that is in no fold: those of the level below with a smaller cursor are in one. */
  readonly next: number;
  /** When the newest block was stored that is in it, Unix ms by the store's clock. */
  readonly stored_ms: number;
  /** What was stored after that time is in this one, or in later ones; 0: there is no earlier fold. */
  readonly since_ms: number;
  /** Nothing had gone that was stored then or later when it was made. */
  readonly whole_ms: number;
  /** Blocks in it that could not be read. */
  readonly damaged: number;
  /** Which minutes are in folds: one that comes again does not count again. None in days. */
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

/** The bytes of a fold. */
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

/** The fold in these bytes; undefined when they are none of this format. */
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

/** By which a block is, if it is a fold and no node's minute. */
export function foldedBy(node_id: string): FoldedBy | undefined {
  if (node_id === FOLD_WRITERS.hour) return "hour";
  return node_id === FOLD_WRITERS.day ? "day" : undefined;
}

/** The most bytes of what one fold sums, so that with its lives it fits into one block. */
const SUM_BYTES = 393_216;
/** The most bytes of a row's counts. */
const COUNTS_BYTES = COUNTERS.length * 17;
/** Those of a row's brackets and commas, and of what begins an hour of a node. */
const MARKS_BYTES = 16;
/** How much larger than its block a sum may become, which has room for larger counts. */
const GROWTH = 8;

const bytesOf = (...names: readonly string[]): number =>
  new TextEncoder().encode(JSON.stringify(names)).length + MARKS_BYTES;

/** A sum that grows. */
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

  /** What was added. */
  get use(): FoldedUse[] {
    return [...this.#units.values()].map(({ begins, node_id, rows }) => ({
      ...{ by: this.#by, begins, node_id, rows: [...rows.values()] },
    }));
  }

  /** Whether there is room for what a block with so many bytes may say; for one block there always is. */
  hasRoom(block_bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + GROWTH * block_bytes <= SUM_BYTES;
  }

  /** Adds what a node used from that minute on. */
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
