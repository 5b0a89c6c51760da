/**
 * The commands of `arq` as plain data, read from their one definition (commander's objects): what
 * completion scripts, the manual page and `docs/arq.md` are made of. Runs nothing and knows no command.
 */
import type { Argument, Command, Option } from "commander";

/** What stands for a value: what a shell can complete it with. */
export type ValueKind = "file" | "folder" | "context" | "choice" | "text";

/** An option. */
export interface OptionInfo {
  /** As in the help: `-o, --output <file>`. */
  readonly flags: string;
  readonly short: string | undefined;
  readonly long: string;
  /** Name of its value; undefined: it has none. */
  readonly value: string | undefined;
  readonly is_value_optional: boolean;
  readonly kind: ValueKind;
  readonly choices: readonly string[];
  readonly description: string;
  /** For people; undefined: none, or the description says it. */
  readonly preset: string | undefined;
  /** The command does not run without it. */
  readonly is_required: boolean;
  /** Heading under which the help lists it; undefined: the command's own. */
  readonly group: string | undefined;
}

/** An operand. */
export interface ArgumentInfo {
  readonly name: string;
  readonly is_required: boolean;
  readonly is_variadic: boolean;
  readonly kind: ValueKind;
  readonly choices: readonly string[];
  readonly description: string;
}

/** A part of what the help says below the options. */
export interface Note {
  /** Lines that stand as they are, for example of a list; those of other parts flow. */
  readonly is_list: boolean;
  /** Without their indentation. */
  readonly lines: readonly string[];
}

/** A command, or a group of them. */
export interface CommandInfo {
  /** All its words: `["arq", "room", "get"]`. */
  readonly path: readonly string[];
  /** What follows the words in its usage: `[options] <room> [key]`. */
  readonly usage: string;
  readonly description: string;
  readonly arguments: readonly ArgumentInfo[];
  readonly options: readonly OptionInfo[];
  readonly notes: readonly Note[];
  readonly examples: readonly string[];
  /** It does something by itself, also where it has commands below. */
  readonly is_runnable: boolean;
  readonly commands: readonly CommandInfo[];
}

const FILES = new Set(["file", "source", "entry", "path"]);
const EXAMPLES = "Examples:\n";

function kindOf(name: string, choices: readonly string[] | undefined): ValueKind {
  if (choices !== undefined) return "choice";
  if (FILES.has(name)) return "file";
  if (name === "dir") return "folder";
  return name === "context" ? "context" : "text";
}

function argumentInfo(argument: Argument): ArgumentInfo {
  const name = argument.name();
  return {
    name,
    is_required: argument.required,
    is_variadic: argument.variadic,
    kind: kindOf(name, argument.argChoices),
    choices: argument.argChoices ?? [],
    description: argument.description,
  };
}

function presetText({ defaultValue, defaultValueDescription }: Option): string | undefined {
  if (defaultValueDescription !== undefined) return defaultValueDescription;
  return defaultValue === undefined || typeof defaultValue === "boolean"
    ? undefined
    : String(defaultValue);
}

function optionInfo(option: Option): OptionInfo {
  const value = /[<[]([^>\]]*)[>\]].*$/.exec(option.flags)?.[1];
  return {
    flags: option.flags,
    short: option.short,
    long: option.long ?? option.short ?? option.flags,
    value,
    is_value_optional: option.optional,
    kind: kindOf(option.long === "--context" ? "context" : value ?? "", option.argChoices),
    choices: option.argChoices ?? [],
    description: option.description,
    preset: presetText(option),
    is_required: option.mandatory,
    group: option.helpGroupHeading,
  };
}

/** Parts end at empty lines and where the indentation begins or ends. */
function parseNotes(prose: string): Note[] {
  const notes: { is_list: boolean; lines: string[] }[] = [];
  let is_new = true;
  for (const line of prose.split("\n")) {
    const is_list = line.startsWith(" ");
    const text = line.trim();
    const last = notes.at(-1);
    if (text !== "" && !is_new && last?.is_list === is_list) last.lines.push(text);
    else if (text !== "") notes.push({ is_list, lines: [text] });
    is_new = text === "";
  }
  return notes;
}

/** What `addHelpText("after", …)` adds, in the form that `examples` of program_options.ts gives it. */
function readHelpText(command: Command): Pick<CommandInfo, "notes" | "examples"> {
  let text = "";
  // As commander itself asks for it.
  const context = { error: false, command, write: (part: string) => text += part };
  (command as unknown as { emit(event: string, context: unknown): boolean })
    .emit("afterHelp", context);
  const at = text.indexOf(EXAMPLES);
  const prose = at < 0 ? text : text.slice(0, at);
  const lines = at < 0 ? [] : text.slice(at + EXAMPLES.length).split("\n");
  return {
    notes: parseNotes(prose),
    examples: lines.map((line) => line.trim()).filter((line) => line !== ""),
  };
}

/** A command with everything below it; what is hidden is left out, and so is commander's own help. */
export function describeCommand(command: Command, above: readonly string[] = []): CommandInfo {
  const path = [...above, command.name()];
  const help = command.createHelp();
  const shown = help.visibleCommands(command).filter((one) => command.commands.includes(one));
  return {
    path,
    usage: command.usage(),
    description: command.description(),
    arguments: command.registeredArguments.map(argumentInfo),
    options: help.visibleOptions(command)
      .filter((option) => command.options.includes(option)).map(optionInfo),
    ...readHelpText(command),
    // Commander keeps it to itself, and shows the help of a command that has none.
    is_runnable: "_actionHandler" in command && typeof command._actionHandler === "function",
    commands: shown.map((one) => describeCommand(one, path)),
  };
}

/** The commands that do something, in the order of their definition. */
export function runnable(command: CommandInfo): CommandInfo[] {
  return everyCommand(command).filter(({ is_runnable }) => is_runnable);
}

/** The command and everything below it, each group before its commands. */
export function everyCommand(command: CommandInfo): CommandInfo[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

/** Heading of the options that every command has which talks to a bus. */
export const BUS_OPTIONS = "Bus options:";
