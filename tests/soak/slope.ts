/** Whether values over time are flat: a least-squares line. Pure. */

/** One value at one time. */
export interface Reading {
  readonly at_ms: number;
  readonly value: number;
}

/** The line through readings. */
export interface Line {
  /** Per millisecond; 0 with fewer than two different times. */
  readonly slope: number;
  readonly mean: number;
  /** The line's growth from the first reading to the last. */
  readonly growth: number;
}

/** By least squares; throws RangeError without readings. */
export function lineThrough(readings: readonly Reading[]): Line {
  const first = readings[0];
  const last = readings.at(-1);
  if (first === undefined || last === undefined) throw new RangeError("no readings");
  const count = readings.length;
  const mean_ms = readings.reduce((sum, { at_ms }) => sum + at_ms, 0) / count;
  const mean = readings.reduce((sum, { value }) => sum + value, 0) / count;
  let products = 0;
  let squares = 0;
  for (const { at_ms, value } of readings) {
    products += (at_ms - mean_ms) * (value - mean);
    squares += (at_ms - mean_ms) ** 2;
  }
  const slope = squares === 0 ? 0 : products / squares;
  return { slope, mean, growth: slope * (last.at_ms - first.at_ms) };
}
