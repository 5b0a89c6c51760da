/** How a cost grows, as numbers: the slope in a log-log plot, and the last step beside the cheapest. Pure. */

/** A step and its cost. */
export interface Point {
  readonly step: number;
  readonly cpu_us: number;
}

/**
 * Exponent of the power law through the points above 0: 0 is a cost that does not grow, 1 one that
 * grows with the number. NaN with fewer than two.
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

/** Cost at the largest step over that of the cheapest; NaN without points. */
export function growthOf(points: readonly Point[]): number {
  const last = points.at(-1)?.cpu_us ?? NaN;
  return last / Math.min(...points.map(({ cpu_us }) => cpu_us));
}
