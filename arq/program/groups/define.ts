/**
 * Commands as texts in the form of their help, from which commander's objects are made:
 *
 *     command`room unlock: end a lock before its lease ends ${BUS}
 *       <room>  the room ${room}
 *       --fence <n>  as arq room lock printed it ${fence} ${NEEDED}
 *       ${ANSWER}
 *
 *       Text below the options in the help.
 *       $ arq room unlock jobs --fence 42`(action)
 *
 * The first row has the command's words and its description; a last word in brackets is optional. Rows of other texts
 * are inserted as a row of their own, or after the description, and then come last. An indented row continues the one
 * above. A row ends with the parser of its value, its choices and its traits.
 */
import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import { CommandError } from "../../terminal/exit.ts";
import type { Ended, Io } from "../../terminal/io.ts";

/** Commander's options follow from the definitions above; the types are checked there. `named`: the operands. */
export type Action = (
  io: Io,
  // deno-lint-ignore no-explicit-any
  flags: any,
  operands: readonly unknown[],
  named: Readonly<Record<string, unknown>>,
  command: Command,
) => Promise<Ended>;

/** Turns an action into the function that commander calls. */
export type Run = (action: Action) => (...args: unknown[]) => Promise<void>;

/** Further properties of an option or operand. */
export interface Traits {
  /** The default. */
  readonly is?: unknown;
  /** The default in words. */
  readonly shown?: string;
  /** Options that exclude this one. */
  readonly without?: string | string[];
  readonly implies?: Readonly<Record<string, unknown>>;
  /** It may be repeated: the value is a list. */
  readonly each?: boolean;
  readonly needed?: boolean;
  readonly hidden?: boolean;
  readonly heading?: string;
}

/** A required option. */
export const NEEDED: Traits = { needed: true };
/** An option or command that no help shows. */
export const HIDDEN: Traits = { hidden: true };
/** An option that may be repeated. */
export const EACH: Traits = { each: true };

/** Parses a value. `option`: the option as typed, `--since`. */
type Parse = (text: string, option: string) => unknown;
type Value = string | number | Parse | readonly string[] | Rows | Traits;

interface Row {
  text: string;
  readonly values: Value[];
}

/** Rows of options that several commands share. */
class Rows {
  constructor(readonly rows: readonly Row[]) {}
}

/** A command or a group of commands. */
export interface Definition {
  /** For example `room unlock`. */
  readonly words: readonly string[];
  readonly is_default: boolean;
  readonly rows: readonly Row[];
  readonly action?: Action;
}

type Template<T> = (texts: TemplateStringsArray, ...values: Value[]) => T;

function read(texts: TemplateStringsArray, values: readonly Value[]): Row[] {
  const rows: Row[] = [{ text: "", values: [] }];
  const write = (text: string) => {
    const [more = "", ...lines] = text.split("\n");
    rows.at(-1)!.text += more;
    for (const line of lines) rows.push({ text: line.replace(/^ {4}/, ""), values: [] });
  };
  for (const [at, text] of texts.entries()) {
    write(text);
    const value = values[at];
    if (typeof value === "string" || typeof value === "number") write(String(value));
    else if (value !== undefined) rows.at(-1)!.values.push(value);
  }
  return rows;
}

const partsOf = ({ values }: Row): Row[] =>
  values.flatMap((value) => value instanceof Rows ? value.rows : []);

/** Rows to be shared by other texts. */
export const rows: Template<Rows> = (texts, ...values) => new Rows(flat(read(texts, values)));

/** The rows with inserted ones in their places, each with everything that belongs to it. */
function flat(all: readonly Row[]): Row[] {
  const whole: Row[] = [];
  for (const row of all) {
    const parts = partsOf(row);
    const last = whole.at(-1);
    if (parts.length > 0) whole.push(...parts);
    else if (row.text.startsWith(" ") && last !== undefined) {
      last.text = `${last.text.trimEnd()} ${row.text.trim()}`;
      last.values.push(...row.values);
    } else if (row.text !== "") whole.push({ text: row.text, values: [...row.values] });
  }
  return whole;
}

function define(texts: TemplateStringsArray, values: readonly Value[]): Definition {
  const rows = read(texts, values);
  const words = (/^[^:]*/.exec(rows[0]!.text)?.[0] ?? "").split(" ");
  return {
    words: words.map((word) => word.replace(/^\[|\]$/g, "")),
    is_default: words.at(-1)!.startsWith("["),
    rows,
  };
}

/** A group of commands. */
export const group: Template<Definition> = (texts, ...values) => define(texts, values);

/** A command; the result takes its action. */
export const command: Template<(action: Action) => Definition> =
  (texts, ...values) => (action) => ({ ...define(texts, values), action });

/** A parser whose errors become commander's, so that they name the option. */
function parser(parse: Parse, { each }: Traits, option: string) {
  return (text: string, before: unknown) => {
    try {
      const value = parse(text, option);
      return each === true ? [...before as unknown[] ?? [], value] : value;
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new InvalidArgumentError(`\n${error.message}${error.hint ? `\n${error.hint}` : ""}`);
    }
  };
}

/** Gives an option or operand the parser, choices and traits of its row. */
function qualify(one: Option | Argument, { values }: Row): void {
  const traits: Traits = Object.assign(
    {},
    ...values.filter((value) => typeof value === "object" && !Array.isArray(value)),
  );
  const parse = values.find((value) => typeof value === "function");
  const choices = values.find((value) => Array.isArray(value));
  if (choices !== undefined) one.choices(choices);
  if (parse !== undefined || traits.each === true) {
    const name = one instanceof Option ? one.long ?? "" : "";
    one.argParser(parser(parse as Parse ?? ((text) => text), traits, name));
  }
  if ("is" in traits) one.default(traits.is, traits.shown);
  if (!(one instanceof Option)) return;
  const { without, implies, needed = false, hidden = false, heading } = traits;
  if (without !== undefined) one.conflicts(without);
  if (implies !== undefined) one.implies(implies);
  if (heading !== undefined) one.helpGroup(heading);
  one.makeOptionMandatory(needed).hideHelp(hidden);
}

/** The text below the options, in the form that `completion/command_tree.ts` reads. */
function notesText(lines: readonly string[]): string {
  const prose = lines.filter((line) => !line.startsWith("$ "));
  const examples = lines.filter((line) => line.startsWith("$ ")).map((line) => line.slice(2));
  const end = prose.at(-1) ? "\n" : "";
  return prose.map((line) => `\n${line}`).join("") + end +
    (examples.length === 0 ? "" : `\nExamples:\n${examples.map((line) => `  ${line}\n`).join("")}`);
}

function add(program: Command, run: Run, definition: Definition): void {
  const { words, is_default: isDefault, rows, action } = definition;
  const [head, ...below] = rows as [Row, ...Row[]];
  const end = below.findIndex(({ text, values }) => text === "" && values.length === 0);
  const own = end < 0 ? below : below.slice(0, end);
  const notes = end < 0 ? "" : notesText(below.slice(end + 1).map(({ text }) => text));
  const above = words.slice(0, -1).reduce(
    (one, word) => one.commands.find((other) => other.name() === word)!,
    program,
  );
  const command = above.command(words.at(-1)!, { isDefault, hidden: head.values.includes(HIDDEN) })
    .description(head.text.slice(head.text.indexOf(": ") + 2).trim());
  if (notes !== "") command.addHelpText("after", notes);
  for (const row of [...flat(own), ...partsOf(head)]) {
    const [flags = "", ...about] = row.text.split("  ");
    const text = about.join("  ").trim();
    const one = flags.startsWith("-") ? new Option(flags, text) : new Argument(flags, text);
    qualify(one, row);
    if (one instanceof Option) command.addOption(one);
    else command.addArgument(one);
  }
  if (action !== undefined) command.enablePositionalOptions().action(run(action));
}

/** Adds commands to a program. A group comes before its commands. */
export function addAll(program: Command, run: Run, definitions: readonly Definition[]): void {
  for (const one of definitions) add(program, run, one);
}
