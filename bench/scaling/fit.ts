/**
 * Measures how a cost grows: the slope in a log-log plot, and the ratio of the last step to the cheapest.
 * Pure.
 */

/** A step and its cost. */
export interface Point {
  readonly step: number;
  readonly cpu_us: number;
}

/**
 * The exponent of the power law through the points above 0: 0 for a cost that does not grow, 1 for one that
 * is proportional to the step. NaN with fewer than two points.
 */
export function slopeOf(points: readonly Point[]): number {
  const logs = points.filter(({ step, cpu_us }) => step > 0 && cpu_us > 0)
    .map(({ step, cpu_us }) => ({ x: Math.log(step), y: Math.log(cpu_us) }));
  const mean = (value: (log: { x: number; y: number }) => number) =>
    logs.reduce((sum, log) => sum + value(log), 0) / logs.length;
  const [x_mean, y_mean] = [mean(({ x }) => x), mean(({ y }) => y)];
  const variance = mean(({ x }) => (x - x_mean) ** 2);
  return logs.length < 2 ? NaN : mean(({ x, y }) => (x - x_mean) * (y - y_mean)) / variance;
}

/** The ratio of the cost at the largest step to that of the cheapest; NaN without points. */
export function growthOf(points: readonly Point[]): number {
  const last = points.at(-1)?.cpu_us ?? NaN;
  return last / Math.min(...points.map(({ cpu_us }) => cpu_us));
}
