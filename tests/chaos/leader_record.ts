/**
 * When each stream of NATS had a leader, by looks from outside. Pure; `leader_watch.ts` does the looking.
 */

/** An election after a fault takes some seconds: whatever is shorter than this is none of ours to tell. */
const TOLD_MS = 30_000;

/** A time without a leader. */
export interface Leaderless {
  readonly stream: string;
  /** By the run's clock. */
  readonly from_ms: number;
  readonly for_ms: number;
  /** It had none at the last look, either. */
  readonly lasts: boolean;
}

/** The looks of one run. As many streams as there are, and one time for each that is told. */
export class LeaderRecord {
  /** The first look without a leader since one with. */
  readonly #since = new Map<string, number>();
  readonly #over: Leaderless[] = [];

  /** What a look at `at_ms` found. */
  seen(stream: string, has_leader: boolean, at_ms: number): void {
    const from_ms = this.#since.get(stream);
    if (!has_leader) {
      if (from_ms === undefined) this.#since.set(stream, at_ms);
      return;
    }
    if (from_ms === undefined) return;
    this.#since.delete(stream);
    const for_ms = at_ms - from_ms;
    if (for_ms >= TOLD_MS) this.#over.push({ stream, from_ms, for_ms, lasts: false });
  }

  /** The times that are long enough to be told, as of `now_ms`. */
  times(now_ms: number): readonly Leaderless[] {
    return [...this.#over, ...this.lasting(now_ms)];
  }

  /** Those of them that last. */
  lasting(now_ms: number): readonly Leaderless[] {
    return [...this.#since].flatMap(([stream, from_ms]) => {
      const for_ms = now_ms - from_ms;
      return for_ms < TOLD_MS ? [] : [{ stream, from_ms, for_ms, lasts: true }];
    });
  }
}

/** For people. */
export function describeLeaderless({ stream, from_ms, for_ms, lasts }: Leaderless): string {
  const seconds = (ms: number) => (ms / 1_000).toFixed(1);
  const end = lasts ? ", and has none now" : "";
  return `NATS had no leader for ${stream} for ${seconds(for_ms)} s from ${
    seconds(from_ms)
  } s on${end}`;
}
