/**
 * Prices by least squares: from the usage and the cost of some runs, a price of each unit (none below zero) for which
 * the sums are closest to the costs. Pure.
 */

/** The usage of one run, by unit, and its cost. */
export interface FittedRun {
  readonly amounts: Readonly<Record<string, number>>;
  readonly cost: number;
}

/** Passes over all units; each is a few thousand multiplications. */
const PASSES = 20_000;
/** The relative precision of a price. */
const SMALL = 1e-10;

/** The cost of amounts with these prices. */
export function pricedAt(
  prices: Readonly<Record<string, number>>,
  amounts: Readonly<Record<string, number>>,
): number {
  let cost = 0;
  for (const [unit, price] of Object.entries(prices)) cost += price * (amounts[unit] ?? 0);
  return cost;
}

/**
 * The prices. A run with twice the cost does not count twice: errors are relative to the cost of a run. Unused units
 * cost nothing. Every run must have a cost above zero.
 */
export function fitPrices(
  runs: readonly FittedRun[],
  units: readonly string[],
): Record<string, number> {
  // Scales the columns: each unit is relative to the highest usage per cost of any run.
  const columns = units.map((unit) => runs.map((run) => (run.amounts[unit] ?? 0) / run.cost));
  const scales = columns.map((column) => Math.max(...column));
  const scaled = columns.map((column, at) => column.map((value) => value / (scales[at] || 1)));
  const squares = scaled.map((column) => column.reduce((sum, value) => sum + value * value, 0));
  const weights = units.map(() => 0);
  const left = runs.map(() => 1);
  for (let pass = 0; pass < PASSES; pass++) {
    let changed = 0;
    for (const [at, column] of scaled.entries()) {
      if (squares[at] === 0) continue;
      const gain = column.reduce((sum, value, run) => sum + value * left[run]!, 0) / squares[at]!;
      const weight = Math.max(0, weights[at]! + gain);
      const step = weight - weights[at]!;
      weights[at] = weight;
      for (const [run, value] of column.entries()) left[run]! -= step * value;
      changed = Math.max(changed, Math.abs(step));
    }
    if (changed < SMALL) break;
  }
  return Object.fromEntries(
    units.map((unit, at) => [unit, scales[at] === 0 ? 0 : weights[at]! / scales[at]!]),
  );
}
