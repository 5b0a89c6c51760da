/** The few statistics that benchmarks need. `open_loop.ts` has the percentiles of latencies. */

/** The middle of the values, NaN when there are none; the upper of two middles. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

/** The geometric mean of values, for ratios. */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
