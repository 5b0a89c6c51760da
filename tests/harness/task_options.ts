/** Options of the long-running test tasks: what is wrong with one is said, exit 2. */

/** Says what is wrong with the command line, and ends with 2. */
export function fail(text: string): never {
  console.error(text);
  Deno.exit(2);
}

/** The number of an option; ends with 2 when it is none above 0. */
export function above0(name: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  fail(`--${name} is ${JSON.stringify(text)}; expected a number above 0`);
}
