/** Scenarios of several parts: which of them `--only` asks for, and what a part gives back. */
import { UsageError } from "./scenario.ts";
import type { OptionValues } from "./scenario.ts";

/** What a part measured, and its table. */
export interface Part {
  readonly result: unknown;
  readonly table: string;
}

/** How much of a part is run. */
export interface Effort {
  readonly rounds: number;
  readonly seconds: number;
}

/** By name, in the order in which they run. */
export type Parts = Readonly<Record<string, (effort: Effort) => Promise<Part>>>;

/** Waits for the figures and renders them. */
export async function part<T>(measured: Promise<T>, render: (result: T) => string): Promise<Part> {
  const result = await measured;
  return { result, table: render(result) };
}

/** The names that `--only` lists, or all. Throws UsageError for a part that is not there. */
export function partsOf(parts: Parts, values: OptionValues): string[] {
  const asked = String(values["only"]);
  if (asked === "") return Object.keys(parts);
  const names = asked.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !Object.hasOwn(parts, name));
  if (unknown.length === 0) return names;
  const known = Object.keys(parts).join(", ");
  throw new UsageError(`--only: no part ${unknown.join(", ")}; there are: ${known}`);
}
