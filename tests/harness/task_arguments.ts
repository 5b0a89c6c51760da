/**
 * The command line of long-running tasks (`chaos`, `soak`, `hostile` and others): the kinds of options, one parser for
 * them, and their `--help`. It prints nothing and ends nothing; `task.ts` does. `bench/measure/scenario.ts` has the
 * options of `deno task bench`.
 */
import { parseArgs } from "node:util";
import { UsageError } from "../../bench/measure/scenario.ts";

/** One option of a task. */
export interface Option<T> {
  /** Placeholder for its value in `--help`; "": a flag, which has none. */
  readonly takes: string;
  /** Its effect, in a few words. */
  readonly about: string;
  /** The default. */
  readonly initial: T;
  /** The default for `--help`; "": none shown. */
  readonly shown: string;
  /** The expected value, in words. */
  readonly expected: string;
  /** Undefined: the value is invalid. */
  read(text: string): T | undefined;
}

/** The options of a task by their names. */
// deno-lint-ignore no-explicit-any
export type Options = Readonly<Record<string, Option<any>>>;

/** The parsed values. */
export type ValuesOf<O extends Options> = {
  readonly [Name in keyof O]: O[Name] extends Option<infer T> ? T : never;
};

/** A task as its users see it. */
export interface TaskUsage<O extends Options> {
  /** The command: `deno task chaos`. */
  readonly command: string;
  /** Its effect and when it fails, for `--help`. */
  readonly about: string;
  readonly options: O;
}

/** True when it is given. */
export function flag(about: string): Option<boolean> {
  return { takes: "", about, initial: false, shown: "", expected: "", read: () => true };
}

/** NaN for blank text, which `Number` converts to 0. */
const numberOf = (text: string) => text.trim() === "" ? NaN : Number(text);

/** A whole number from `low` (default 1) to `high`, which may be absent. */
export function whole(
  initial: number,
  about: string,
  { low = 1, high }: { readonly low?: number; readonly high?: number } = {},
): Option<number> {
  return {
    takes: "N",
    about,
    initial,
    shown: String(initial),
    expected: high === undefined
      ? `a whole number of at least ${low}`
      : `a whole number from ${low} to ${high}`,
    read(text) {
      const value = numberOf(text);
      const within = value >= low && value <= (high ?? Number.MAX_SAFE_INTEGER);
      return Number.isSafeInteger(value) && within ? value : undefined;
    },
  };
}

/** A number above 0 that need not be whole; with `or_none` also 0. */
export function amount(
  initial: number,
  about: string,
  { or_none = false }: { readonly or_none?: boolean } = {},
): Option<number> {
  return {
    takes: "N",
    about,
    initial,
    shown: String(initial),
    expected: or_none ? "a number of at least 0" : "a number above 0",
    read(text) {
      const value = numberOf(text);
      return Number.isFinite(value) && (value > 0 || (or_none && value === 0)) ? value : undefined;
    },
  };
}

/** The random seed of a run: a different one each time, unless it is given. */
export function seed(below = 1_000_000): Option<number> {
  const about = "the same again: the seed that a run has printed";
  return { ...whole(Date.now() % below, about, { low: 0 }), shown: "another each time" };
}

/** One of some words. */
export function oneOf<const Word extends string>(
  words: readonly Word[],
  initial: Word,
  about: string,
): Option<Word> {
  return {
    takes: "WORD",
    about,
    initial,
    shown: initial,
    expected: `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`,
    read: (text) => words.find((word) => word === text),
  };
}

/** Any text. */
export function text(takes: string, about: string): Option<string | undefined> {
  return { takes, about, initial: undefined, shown: "", expected: "", read: (given) => given };
}

/** Names separated by commas; none unless it is given. */
export function names(about: string): Option<readonly string[]> {
  return {
    takes: "A,B",
    about,
    initial: [],
    shown: "",
    expected: "names with commas between them",
    read: (text) => text.split(",").filter((name) => name !== ""),
  };
}

/** The same option, but undefined when it is not given. */
export function maybe<T>(option: Option<T>): Option<T | undefined> {
  return { ...option, initial: undefined, shown: "" };
}

/** The `--help` text of all options of a task. */
export function helpOf({ command, about, options }: TaskUsage<Options>): string {
  const rows = Object.entries(options).map(([name, { takes, about, shown }]) => [
    `--${name} ${takes}`.trimEnd(),
    shown === "" ? about : `${about} (${shown})`,
  ]);
  rows.push(["--help", "this text"]);
  const width = Math.max(...rows.map(([head = ""]) => head.length));
  const lines = rows.map(([head = "", text]) => `  ${head.padEnd(width)}  ${text}`);
  return `Usage: ${command} [options]\n\n${about}\n\nOptions:\n${lines.join("\n")}`;
}

/**
 * The values of all options. Undefined when help is requested. Throws `UsageError` with the option, the given value,
 * and what would be right.
 */
export function readArguments<O extends Options>(
  { options, command }: TaskUsage<O>,
  args: readonly string[],
): ValuesOf<O> | undefined {
  const again = `; see ${command} --help`;
  const kinds = Object.entries(options).map(([name, { takes }]) => [
    name,
    { type: takes === "" ? "boolean" as const : "string" as const },
  ]);
  let given: Readonly<Record<string, unknown>>;
  try {
    const help = { type: "boolean", short: "h" } as const;
    given = parseArgs({ args: [...args], options: { ...Object.fromEntries(kinds), help } }).values;
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : error}${again}`);
  }
  if (given["help"] === true) return undefined;
  const values = Object.entries(options).map(([name, { initial, expected, read }]) => {
    const text = given[name];
    if (text === undefined) return [name, initial];
    const value = read(String(text));
    if (value !== undefined) return [name, value];
    throw new UsageError(`--${name} is ${JSON.stringify(text)}; expected ${expected}${again}`);
  });
  return Object.fromEntries(values);
}
