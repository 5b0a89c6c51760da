/**
 * Prices by least squares: of what some runs used and cost, the price of each unit, none below zero, with which
 * the sums come closest to what the runs cost. Pure.
 */

/** What one run used, by unit, and what it cost. */
export interface FittedRun {
  readonly amounts: Readonly<Record<string, number>>;
  readonly cost: number;
}

/** Passes over all units; each is a few thousand multiplications. */
const PASSES = 20_000;
/** A price that changes by less than this part is found. */
const SMALL = 1e-10;

/** What amounts cost by these prices. */
export function pricedAt(
  prices: Readonly<Record<string, number>>,
  amounts: Readonly<Record<string, number>>,
): number {
  let cost = 0;
  for (const [unit, price] of Object.entries(prices)) cost += price * (amounts[unit] ?? 0);
  return cost;
}

/**
 * The prices. A run that cost twice as much does not count twice: errors are parts of what a run cost. Units of
 * which no run used anything cost nothing. Every run must have cost something.
 */
export function fitPrices(
  runs: readonly FittedRun[],
  units: readonly string[],
): Record<string, number> {
  // Columns of the same size: each unit in parts of the most that a run used for what it cost.
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
