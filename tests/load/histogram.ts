/**
 * Counts of latencies in buckets that grow by 5 %, so that the figures of many processes and minutes
 * can be added. A figure is at most 5 % too high; nothing here knows what was measured.
 */

const GROWTH = Math.log(1.05);
/** What is below counts as this; ms. */
const LOWEST_MS = 0.01;
/** Up to 0.01 ms · 1.05^400, some 50 minutes. */
const BUCKETS = 400;

/** Bucket number and count, in turns: small where most buckets are empty. */
export type PackedHistogram = readonly number[];

/** Latencies of some time. */
export class Histogram {
  readonly #counts = new Uint32Array(BUCKETS);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(latency_ms: number): void {
    const bucket = Math.ceil(Math.log(Math.max(latency_ms, LOWEST_MS) / LOWEST_MS) / GROWTH);
    this.#counts[Math.min(bucket, BUCKETS - 1)]!++;
    this.#count++;
  }

  /** Adds all of another one. */
  merge(packed: PackedHistogram): void {
    for (let at = 0; at + 1 < packed.length; at += 2) {
      this.#counts[packed[at]!]! += packed[at + 1]!;
      this.#count += packed[at + 1]!;
    }
  }

  pack(): PackedHistogram {
    return [...this.#counts].flatMap((count, bucket) => count === 0 ? [] : [bucket, count]);
  }

  /** The latency in ms that this share of all does not exceed; NaN without any. */
  quantile(share: number): number {
    const rank = Math.max(1, Math.ceil(this.#count * share));
    let seen = 0;
    for (const [bucket, count] of this.#counts.entries()) {
      seen += count;
      if (seen >= rank) return LOWEST_MS * Math.exp(bucket * GROWTH);
    }
    return NaN;
  }
}
