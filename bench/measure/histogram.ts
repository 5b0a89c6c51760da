/**
 * HDR histograms of latencies (hdr-histogram-js), with three significant digits from a microsecond to two
 * minutes. Processes encode them and their driver adds them up. The load generator and
 * `deno task soak` use them.
 */
import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64 } from "hdr-histogram-js";
import type { Histogram } from "hdr-histogram-js";

const HIGHEST_US = 120_000_000;
const DIGITS = 3;

/** The figures of a histogram in ms; all NaN when it is empty. */
export interface Latency {
  readonly count: number;
  readonly p50_ms: number;
  readonly p90_ms: number;
  readonly p99_ms: number;
  readonly p999_ms: number;
  readonly max_ms: number;
}

/** A histogram of the latencies of one process or of several. */
export class Latencies {
  readonly #histogram: Histogram = build({
    highestTrackableValue: HIGHEST_US,
    numberOfSignificantValueDigits: DIGITS,
    useWebAssembly: false,
  });

  get count(): number {
    return this.#histogram.totalCount;
  }

  /**
   * Adds a latency. A value below 0, from a clock step, counts as 0; a value above two minutes counts as two minutes.
   */
  add(latency_ms: number): void {
    const us = Math.round(latency_ms * 1_000);
    this.#histogram.recordValue(us < 0 ? 0 : us > HIGHEST_US ? HIGHEST_US : us);
  }

  /** Adds all latencies of another histogram, in the form of `encode`. */
  merge(encoded: string): void {
    const other = decodeFromCompressedBase64(encoded, 32, false);
    if (other.totalCount > 0) this.#histogram.add(other);
  }

  /** HdrHistogram's own compressed form (V2) in Base64, which its other tools also read. The unit is µs. */
  encode(): string {
    return encodeIntoCompressedBase64(this.#histogram);
  }

  reset(): void {
    this.#histogram.reset();
  }

  /** The latency in ms that this share of all latencies does not exceed; NaN if there are none. */
  quantile(share: number): number {
    return this.count === 0 ? NaN : this.#histogram.getValueAtPercentile(share * 100) / 1_000;
  }

  figures(): Latency {
    return {
      count: this.count,
      p50_ms: this.quantile(0.5),
      p90_ms: this.quantile(0.9),
      p99_ms: this.quantile(0.99),
      p999_ms: this.quantile(0.999),
      max_ms: this.quantile(1),
    };
  }
}

/** The sum of several encoded histograms. */
export function merged(encoded: readonly string[]): Latencies {
  const all = new Latencies();
  for (const one of encoded) all.merge(one);
  return all;
}
