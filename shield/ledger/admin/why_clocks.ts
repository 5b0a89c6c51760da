/**
 * How far the clocks of other Shields are ahead of this one's, from questions and answers: the time in an answer
 * was read between the question and the answer. Pure. Nothing is set by it; times are shown beside the raw ones.
 */
import type { Gathered } from "../../../shared/cluster/cluster_asker.ts";
import { surelyAhead } from "../../../shared/cluster/cluster_why.ts";

/** How far a clock is ahead, in ms: within so much of it. */
export interface Ahead {
  readonly ahead_ms: number;
  readonly within_ms: number;
}

/** The clocks of those that answered one request. */
export class Clocks {
  /** The Shield whose clock is compared with. */
  readonly node_id: string;
  readonly #bounds = new Map<string, { readonly least: number; readonly most: number }>();

  constructor(node_id: string) {
    this.node_id = node_id;
  }

  /** Takes note of answers; of two, what both allow is taken, or the later where its clock was set meanwhile. */
  note({ answers, asked_ms, heard_ms }: Gathered<{ readonly now_ms: number }>): void {
    for (const { node_id, value: { now_ms } } of answers) {
      const heard = heard_ms.get(node_id);
      if (heard === undefined) continue;
      const [least, most] = [now_ms - Math.max(asked_ms, heard), now_ms - asked_ms];
      const before = this.#bounds.get(node_id);
      const fits = before !== undefined && least <= before.most && before.least <= most;
      this.#bounds.set(node_id, {
        least: fits ? Math.max(least, before.least) : least,
        most: fits ? Math.min(most, before.most) : most,
      });
    }
  }

  /** Whether one of them is surely another clock; the ledger's own may be, once the wall clock was set. */
  get are_apart(): boolean {
    return this.#bounds.values().some(({ least, most }) => surelyAhead((least + most) / 2) !== 0);
  }

  /** How far that Shield's clock is ahead; undefined: it has not answered. */
  of(node_id: string): Ahead | undefined {
    if (node_id === this.node_id) return { ahead_ms: 0, within_ms: 0 };
    const bounds = this.#bounds.get(node_id);
    if (bounds === undefined) return undefined;
    const { least, most } = bounds;
    return { ahead_ms: Math.round((least + most) / 2), within_ms: Math.ceil((most - least) / 2) };
  }

  /** A time of that Shield's by the clock compared with, in Unix ms; its own where nothing is known. */
  here(node_id: string, time_ms: number): number {
    return time_ms - (this.of(node_id)?.ahead_ms ?? 0);
  }
}
