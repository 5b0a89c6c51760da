/** Statistics of the benchmarks. */

/** The value at the given fraction of the sorted values (nearest rank); NaN if there are none. */
export function percentile(sorted: ArrayLike<number>, fraction: number): number {
  if (sorted.length === 0) return NaN;
  return sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? NaN;
}

/** The percentiles of latencies in ms in most tables. */
export function delaysOf(latencies_ms: Iterable<number>) {
  const sorted = Float64Array.from(latencies_ms).sort();
  const [p50_ms, p99_ms, max_ms] = [0.5, 0.99, 1].map((share) => percentile(sorted, share));
  return { p50_ms: p50_ms!, p99_ms: p99_ms!, max_ms: max_ms! };
}

/** The median of the values, NaN if there are none; the upper of two middle values. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

/** The median of one figure of some rows. */
export function medianOf<K extends string>(
  rows: readonly { readonly [key in K]?: number | undefined }[],
  key: K,
): number {
  return median(rows.map((row) => row[key] ?? NaN));
}

/** The sum of one figure of some rows. */
export function sumOf<K extends string>(
  rows: readonly { readonly [key in K]: number }[],
  key: K,
): number {
  return rows.reduce((sum, row) => sum + row[key], 0);
}
