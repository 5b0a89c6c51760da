/** Scenarios of several parts: which parts `--only` asks for, and their results one after the other. */
import { positive, UsageError } from "./scenario.ts";
import type { OptionValues } from "./scenario.ts";

/** The result of a part, and its table. */
export interface Part {
  readonly result: unknown;
  readonly table: string;
}

/** How long and how often a part measures. */
export interface Effort {
  readonly rounds: number;
  readonly seconds: number;
}

/** The parts of a scenario by name, in the order in which they run. */
export type Parts = Readonly<Record<string, (effort: Effort) => Promise<Part>>>;

/** A part made from its measurement and the function that renders it. */
export async function part<T>(measured: Promise<T>, render: (result: T) => string): Promise<Part> {
  const result = await measured;
  return { result, table: render(result) };
}

/** The results of the parts that ran. */
export interface PartResults {
  /** The result of each part by its name, and `options`. */
  readonly report: Readonly<Record<string, unknown>>;
  readonly tables: readonly string[];
}

/** Runs the parts that `--only` lists, in turn. Throws UsageError for a wrong option. */
export async function runParts(parts: Parts, values: OptionValues): Promise<PartResults> {
  const names = partsOf(parts, values);
  const effort = { rounds: positive(values, "rounds"), seconds: positive(values, "seconds") };
  const report: Record<string, unknown> = { options: { parts: names, ...effort } };
  const tables: string[] = [];
  for (const name of names) {
    const measured = await parts[name]?.(effort);
    if (measured === undefined) continue;
    report[name] = measured.result;
    tables.push(measured.table);
  }
  return { report, tables };
}

/** The parts that `--only` lists, or all. Throws UsageError for an unknown part. */
function partsOf(parts: Parts, values: OptionValues): string[] {
  const asked = String(values["only"]);
  if (asked === "") return Object.keys(parts);
  const names = asked.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !Object.hasOwn(parts, name));
  if (unknown.length === 0) return names;
  const known = Object.keys(parts).join(", ");
  throw new UsageError(`--only: no part ${unknown.join(", ")}; there are: ${known}`);
}
