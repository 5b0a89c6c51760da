/**
 * Which minutes of which incarnations of Shields are folded. A Shield that received no answer stores its minute again,
 * perhaps after hours without a connection, and a killed one leaves its last minute among the running ones: neither
 * counts twice. Limited by time, incarnations and bytes. Pure.
 */
import { z } from "zod";

/**
 * The newest remembered minutes of an incarnation. It stores its minutes in order, and repeats one at once: a
 * repetition is never further behind.
 */
export const REMEMBERED = 64;
/** How long an incarnation is remembered after the newest folded minute, in ms. */
const KEPT_MS = 86_400_000;
/** The most bytes of all incarnations in a block; beyond that the oldest are dropped. */
const LIVES_BYTES = 40_960;

const whole = z.int().min(0);
/** Node, start of its incarnation, when its newest minute was stored, and its minutes as pairs: from, to. */
export const StoredLives = z.array(
  z.tuple([z.string().max(256), whole, whole, z.array(whole).max(2 * REMEMBERED)]),
);
type Stored = z.infer<typeof StoredLives>;

interface FoldLife {
  readonly node_id: string;
  readonly life_ms: number;
  stored_ms: number;
  /** In order. */
  seqs: number[];
}

interface MinuteName {
  readonly node_id: string;
  readonly life_ms: number;
  readonly seq: number;
}

const nameOf = (node_id: string, life_ms: number): string => `${node_id} ${life_ms}`;

/** The incarnations whose minutes are remembered. */
export class FoldLives {
  readonly #lives = new Map<string, FoldLife>();

  constructor(stored: Stored = []) {
    for (const [node_id, life_ms, stored_ms, pairs] of stored) {
      const seqs: number[] = [];
      for (let at = 0; at + 1 < pairs.length; at += 2) {
        const from = pairs[at]!;
        const to = pairs[at + 1]!;
        for (let seq = Math.max(from, to - REMEMBERED + 1); seq <= to; seq++) seqs.push(seq);
      }
      this.#lives.set(nameOf(node_id, life_ms), { node_id, life_ms, stored_ms, seqs });
    }
  }

  get size(): number {
    return this.#lives.size;
  }

  /** The nodes of these incarnations. */
  get nodes(): Set<string> {
    return new Set([...this.#lives.values()].map(({ node_id }) => node_id));
  }

  *[Symbol.iterator](): Generator<Readonly<FoldLife>> {
    yield* this.#lives.values();
  }

  has({ node_id, life_ms, seq }: MinuteName): boolean {
    return this.#lives.get(nameOf(node_id, life_ms))?.seqs.includes(seq) === true;
  }

  /** Remembers a minute that was stored at that time. */
  add({ node_id, life_ms, seq }: MinuteName, stored_ms: number): void {
    const name = nameOf(node_id, life_ms);
    const life = this.#lives.get(name) ?? { node_id, life_ms, stored_ms, seqs: [] };
    this.#lives.set(name, life);
    life.stored_ms = Math.max(life.stored_ms, stored_ms);
    life.seqs = [...life.seqs, seq].sort((a, b) => a - b).slice(-REMEMBERED);
  }

  /** A copy, without the incarnations that are too old when the newest folded block was stored at that time. */
  at(stored_ms: number): FoldLives {
    return new FoldLives(
      encodeLives(this).filter(([, , last_ms]) => stored_ms - last_ms < KEPT_MS),
    );
  }
}

/** Pairs of the first and the last of each run. */
function runsOf(seqs: readonly number[]): number[] {
  const runs: number[] = [];
  for (const seq of seqs) {
    if (runs.at(-1) === seq - 1) runs[runs.length - 1] = seq;
    else runs.push(seq, seq);
  }
  return runs;
}

/** The stored form, newest first. */
export function encodeLives(lives: FoldLives): Stored {
  const all = [...lives].toSorted((a, b) => b.stored_ms - a.stored_ms)
    .map(({ node_id, life_ms, stored_ms, seqs }): Stored[number] => [
      ...[node_id, life_ms, stored_ms] as const,
      runsOf(seqs),
    ]);
  let bytes = 0;
  const fits = all.findIndex((life) => (bytes += JSON.stringify(life).length + 1) > LIVES_BYTES);
  return fits < 0 ? all : all.slice(0, fits);
}
