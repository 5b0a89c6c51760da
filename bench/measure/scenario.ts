/**
 * A scenario of `deno task bench`: its type, its options, and the machine's data for every report. `main.ts` has the
 * list of scenarios.
 */
import type { ParseArgsOptionsConfig } from "node:util";
import { run } from "../../tasks/checkout/programs.ts";

/** The root of the checkout, without a trailing slash. */
export const ROOT = decodeURIComponent(new URL("../..", import.meta.url).pathname).replace(
  /\/$/,
  "",
);

/** Values of a scenario's options in the form of `node:util`; every option has a default. */
export type OptionValues = Readonly<Record<string, unknown>>;

/** The result of a scenario. */
export interface ScenarioResult {
  /** All measurements as JSON; `main.ts` adds machine, commit and time. */
  readonly report: Readonly<Record<string, unknown>>;
  /** The table of the measurements, for people. */
  readonly table: string;
  /** Why the figures are not reliable, or the condition that they miss; absent if there is no such problem. */
  readonly failure?: string | undefined;
}

/** A scenario of `deno task bench`. */
export interface Scenario {
  readonly name: string;
  readonly help: string;
  /** The scenario's own options; `--out` and `--help` are common to all. */
  readonly options: ParseArgsOptionsConfig;
  /** Measures. Throws `UsageError` for an invalid option before it starts anything. */
  run(values: OptionValues): Promise<ScenarioResult>;
}

/** Why figures are not reliable if one of their turns has lost messages; undefined if none has. */
export function failureOfLost(is_lost: boolean): string | undefined {
  return is_lost ? "messages were lost; the figures above do not count them" : undefined;
}

/** An error for an invalid command line; exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** A text option whose default is `value`. */
export function text(value: string): { readonly type: "string"; readonly default: string } {
  return { type: "string", default: value };
}

/** The items of an option that lists known ones with commas. Throws `UsageError`. */
export function listed<T extends string>(option: string, list: string, known: readonly T[]): T[] {
  const items = list.split(",").map((item) => item.trim());
  const unknown = items.filter((item) => !(known as readonly string[]).includes(item));
  if (unknown.length === 0) return items as T[];
  throw new UsageError(`--${option}: no ${unknown.join(", ")}; there are: ${known.join(", ")}`);
}

/** Reads the value of a whole-number option. Throws `UsageError`. */
export function positive(values: OptionValues, name: string): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value > 0) return value;
  const given = JSON.stringify(values[name]);
  throw new UsageError(`--${name} expects a whole number above 0, got ${given}`);
}

/** Reads an option that lists whole numbers with commas. Throws `UsageError`. */
function positives(values: OptionValues, name: string): number[] {
  const all = String(values[name]).split(",").map(Number);
  if (all.every((value) => Number.isInteger(value) && value > 0)) return all;
  const given = JSON.stringify(values[name]);
  throw new UsageError(`--${name} expects whole numbers above 0 with commas, got ${given}`);
}

/** The options of a scenario: each with its default, which implies its type, and its purpose. */
export type Options = Readonly<
  Record<string, readonly [value: string | number | boolean | readonly number[], about: string]>
>;

type Wide<V> = V extends string ? string
  : V extends number ? number
  : V extends boolean ? boolean
  : readonly number[];

/** The values of such options: texts, whole numbers above 0, lists of them, and flags. */
export type Values<O extends Options> = { readonly [K in keyof O]: Wide<O[K][0]> };

/** The values of options as the command line gives them. Throws `UsageError`. */
export function valuesOf<O extends Options>(options: O, given: OptionValues): Values<O> {
  const read = Object.entries(options).map(([name, [value]]) => {
    if (typeof value === "number") return [name, positive(given, name)];
    return [name, Array.isArray(value) ? positives(given, name) : given[name]];
  });
  return Object.fromEntries(read);
}

/** A scenario from its description and its options. */
export function scenario<O extends Options>(
  name: string,
  about: string,
  options: O,
  measure: (values: Values<O>) => Promise<ScenarioResult>,
): Scenario {
  const lines = Object.entries(options).map(([option, [value, use]]) => {
    const kind =
      { number: " N", string: " X", boolean: "", object: " N,N" }[typeof value as string];
    const shown = value === false || value === "" ? "" : `(${value})`;
    return `  ${`--${option}${kind}`.padEnd(18)}${[use, shown].filter(Boolean).join(" ")}\n`;
  });
  return {
    name,
    help: `${name}: ${about}\n\n${lines.join("")}`,
    options: Object.fromEntries(
      Object.entries(options).map(([option, [value]]) => [
        option,
        typeof value === "boolean" ? { type: "boolean", default: value } : text(String(value)),
      ]),
    ),
    run: (given) => measure(valuesOf(options, given)),
  };
}

/** The facts about the machine on which figures depend; every report contains them. */
export async function machine(): Promise<Record<string, string | number>> {
  return {
    os: Deno.build.os,
    arch: Deno.build.arch,
    cpu: await cpu(),
    cores: navigator.hardwareConcurrency,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
  };
}

async function outputOf(command: string, ...args: string[]): Promise<string> {
  const ran = await run(command, args);
  return ran?.ok === true ? ran.stdout.trim() : "";
}

async function cpu(): Promise<string> {
  const linux = await outputOf("sed", "-n", "s/^model name[^:]*: //p", "/proc/cpuinfo");
  const name = linux.split("\n")[0] ?? "";
  return name || await outputOf("sysctl", "-n", "machdep.cpu.brand_string") || "unknown";
}

/** The measured commit; a trailing `+` means that the checkout has changes. */
export async function commit(): Promise<string> {
  const head = await outputOf("git", "rev-parse", "--verify", "HEAD");
  if (head === "") return "unknown";
  return await outputOf("git", "status", "--porcelain") === "" ? head : `${head}+`;
}
