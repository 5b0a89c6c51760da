/**
 * Covering arrays with constraints: few rows in which each pair, or triple, of values that can stand together does.
 * Greedy, one row at a time, as AETG does it (Cohen et al., 1997), and the same rows each time. The generators of npm
 * were tried: with constraints like ours `covertable` 2.5.2 leaves three pairs of ten out. Pure.
 */

/** The values of each factor. */
export type Values = Readonly<Record<string, readonly string[]>>;
/** A value of some factors. */
export type Chosen = Readonly<Record<string, string>>;

/** All choices of so many of the names. */
function subsets(names: readonly string[], size: number): string[][] {
  if (size === 0) return [[]];
  return names.flatMap((name, at) =>
    subsets(names.slice(at + 1), size - 1).map((others) => [name, ...others])
  );
}

const keyOf = (names: readonly string[], row: Chosen) =>
  names.map((name) => `${name}=${row[name]}`).join();

/** The choice made whole, with values that cover most of what is open; undefined: it cannot be. */
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
 * Rows in which each `strength` of values does that can stand in a row at all. `isPossible` judges a row that is not
 * whole by what is chosen of it.
 */
export function coveringRows(
  factors: Values,
  strength: number,
  isPossible: (chosen: Chosen) => boolean,
): Chosen[] {
  const sets = subsets(Object.keys(factors), strength);
  const open = new Map<string, Chosen>();
  for (const names of sets) {
    let choices: Chosen[] = [{}];
    for (const name of names) {
      choices = choices.flatMap((one) =>
        factors[name]!.map((value) => ({ ...one, [name]: value }))
      );
    }
    for (const one of choices) if (isPossible(one)) open.set(keyOf(names, one), one);
  }
  const setsOf = new Map(
    Object.keys(factors).map((name) => [name, sets.filter((names) => names.includes(name))]),
  );
  const gain = (row: Chosen, name: string) =>
    setsOf.get(name)!.filter((names) =>
      names.every((one) => one in row) && open.has(keyOf(names, row))
    ).length;
  const rows: Chosen[] = [];
  for (const [key, chosen] of open) {
    if (!open.delete(key)) continue;
    const row = completed(factors, chosen, isPossible, gain);
    if (row === undefined) continue;
    rows.push(row);
    for (const names of sets) open.delete(keyOf(names, row));
  }
  return rows;
}

/** How many choices of so many values stand in the rows. */
export function covered(rows: readonly Chosen[], strength: number): number {
  const sets = subsets(Object.keys(rows[0] ?? {}), strength);
  return new Set(rows.flatMap((row) => sets.map((names) => keyOf(names, row)))).size;
}
