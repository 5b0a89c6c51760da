/**
 * Counters of processes that are killed and started again, summed over all of their lives from what was
 * read of `/metrics` while they lived. What was counted after the last look is lost with a process.
 */
import { readSamples } from "../harness/server_state.ts";

/** Sums by name with labels. */
export class Counters {
  readonly #ended = new Map<string, number>();
  readonly #living = new Map<string, { readonly life: string; samples: Map<string, number> }>();

  /** What a process shows now; `life` is another one after each start. */
  look(node: string, life: string, text: string): void {
    const before = this.#living.get(node);
    if (before !== undefined && before.life !== life) {
      for (const [name, value] of before.samples) {
        this.#ended.set(name, (this.#ended.get(name) ?? 0) + value);
      }
    }
    this.#living.set(node, { life, samples: readSamples(text) });
  }

  /** By labels, `{…}` or empty, of one counter. */
  of(name: string): Map<string, number> {
    const sums = new Map<string, number>();
    for (const samples of [this.#ended, ...[...this.#living.values()].map((one) => one.samples)]) {
      for (const [full, value] of samples) {
        if (full !== name && !full.startsWith(`${name}{`)) continue;
        const labels = full.slice(name.length);
        sums.set(labels, (sums.get(labels) ?? 0) + value);
      }
    }
    return sums;
  }
}
