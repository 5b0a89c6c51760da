/**
 * Covering arrays with constraints: few rows that contain each possible pair, or triple, of values. Greedy, one row at
 * a time, as in AETG (Cohen et al., 1997), and deterministic. We tried npm's generators: with constraints like ours
 * `covertable` 2.5.2 misses three pairs of ten. Pure.
 */

/** The values of each factor. */
export type Values = Readonly<Record<string, readonly string[]>>;
/** Values of some factors. */
export type Chosen = Readonly<Record<string, string>>;

/** All combinations of `size` of the names. */
function subsets(names: readonly string[], size: number): string[][] {
  if (size === 0) return [[]];
  return names.flatMap((name, at) =>
    subsets(names.slice(at + 1), size - 1).map((others) => [name, ...others])
  );
}

/** Interchangeable factors: a value in one of them counts for all. */
export type Seats = readonly string[];

/** Names a value, no matter which of the seats has it. */
export const levelOf = (seats: Seats, name: string, value = ""): string =>
  `${seats.includes(name) ? seats[0] : name}=${value}`;

const keyOf = (names: readonly string[], row: Chosen, seats: Seats) =>
  names.map((name) => levelOf(seats, name, row[name])).sort().join();

/** The choice completed to a row, with the values that cover most open combinations; undefined: impossible. */
function completed(
  factors: Values,
  chosen: Chosen,
  isPossible: (chosen: Chosen) => boolean,
  gain: (chosen: Chosen, name: string) => number,
): Chosen | undefined {
  const name = Object.keys(factors).find((name) => !(name in chosen));
  if (name === undefined) return chosen;
  const choices = factors[name]!.map((value) => ({ ...chosen, [name]: value }))
    .filter(isPossible)
    .map((choice) => ({ choice, gained: gain(choice, name) }))
    .sort((a, b) => b.gained - a.gained);
  for (const { choice } of choices) {
    const row = completed(factors, choice, isPossible, gain);
    if (row !== undefined) return row;
  }
  return undefined;
}

/**
 * Rows with each possible combination of `strength` values. `isPossible` judges an incomplete row by its chosen values.
 * A combination that occurs in some of the `seats` need not occur in others. `isAsked` excludes combinations that need
 * not be covered.
 */
export function coveringRows(
  factors: Values,
  strength: number,
  isPossible: (chosen: Chosen) => boolean,
  seats: Seats = [],
  isAsked: (names: readonly string[]) => boolean = () => true,
): Chosen[] {
  const sets = subsets(Object.keys(factors), strength).filter(isAsked);
  const open = new Map<string, Chosen>();
  for (const names of sets) {
    let choices: Chosen[] = [{}];
    for (const name of names) {
      choices = choices.flatMap((one) =>
        factors[name]!.map((value) => ({ ...one, [name]: value }))
      );
    }
    for (const one of choices) if (isPossible(one)) open.set(keyOf(names, one, seats), one);
  }
  const setsOf = new Map(
    Object.keys(factors).map((name) => [name, sets.filter((names) => names.includes(name))]),
  );
  const gain = (row: Chosen, name: string) =>
    setsOf.get(name)!.filter((names) =>
      names.every((one) => one in row) && open.has(keyOf(names, row, seats))
    ).length;
  const rows: Chosen[] = [];
  for (const [key, chosen] of open) {
    if (!open.delete(key)) continue;
    const row = completed(factors, chosen, isPossible, gain);
    if (row === undefined) continue;
    rows.push(row);
    for (const names of sets) open.delete(keyOf(names, row, seats));
  }
  return rows;
}

/** The number of combinations of `strength` values that the rows contain. */
export function covered(rows: readonly Chosen[], strength: number, seats: Seats = []): number {
  const sets = subsets(Object.keys(rows[0] ?? {}), strength);
  return new Set(rows.flatMap((row) => sets.map((names) => keyOf(names, row, seats)))).size;
}
