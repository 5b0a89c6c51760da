/** Scenarios of several parts: the selection by `--only`, and the results of the parts. */
import { listed } from "./scenario.ts";

/** The result of a part, and its table. */
export interface Part {
  readonly result: unknown;
  readonly table: string;
}

/** Duration and number of a part's measurements. */
export interface Effort {
  readonly rounds: number;
  readonly seconds: number;
}

/** The parts of a scenario by name, in the order in which they run. */
export type Parts = Readonly<Record<string, (effort: Effort) => Promise<Part>>>;

/** A part from its measurement and the function that renders it. */
export async function part<T>(measured: Promise<T>, render: (result: T) => string): Promise<Part> {
  const result = await measured;
  return { result, table: render(result) };
}

/** Runs the parts that `only` lists, or all, one after another; their results by name, and their tables. */
export async function runParts(
  parts: Parts,
  { only, rounds, seconds }: Effort & { readonly only: string },
): Promise<{ report: Record<string, unknown>; tables: string[] }> {
  const known = Object.keys(parts);
  const names = only === "" ? known : listed("only", only, known);
  const report: Record<string, unknown> = { options: { parts: names, rounds, seconds } };
  const tables: string[] = [];
  for (const name of names) {
    const { result, table } = await parts[name]!({ rounds, seconds });
    report[name] = result;
    tables.push(table);
  }
  return { report, tables };
}
