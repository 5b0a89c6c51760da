/** Scenarios of several parts: which parts `--only` asks for, and what a part returns. */
import { UsageError } from "./scenario.ts";
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

/** The parts that `--only` lists, or all. Throws UsageError for an unknown part. */
export function partsOf(parts: Parts, values: OptionValues): string[] {
  const asked = String(values["only"]);
  if (asked === "") return Object.keys(parts);
  const names = asked.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !Object.hasOwn(parts, name));
  if (unknown.length === 0) return names;
  const known = Object.keys(parts).join(", ");
  throw new UsageError(`--only: no part ${unknown.join(", ")}; there are: ${known}`);
}
