/**
 * The commands of `arq` as plain data, read from their definition in commander's objects. The completion scripts and
 * the manual page are made from it. It runs nothing and knows no single command.
 */
import type { Argument, Command, Option } from "commander";

/** The kind of a value, which tells a shell how to complete it. */
export type ValueKind = "file" | "folder" | "context" | "choice" | "text";

/** An option of a command. */
export type OptionInfo = ReturnType<typeof optionInfo>;

/** An operand of a command. */
type ArgumentInfo = ReturnType<typeof argumentInfo>;

/** A part of the text below the options in a command's help. */
export interface Note {
  /** True for a list, whose lines are kept; the lines of other parts are reflowed. */
  readonly is_list: boolean;
  /** The lines without their indentation. */
  readonly lines: readonly string[];
}

/** A command, or a group of commands. */
export interface CommandInfo {
  /** All words of the command: `["arq", "room", "get"]`. */
  readonly path: readonly string[];
  /** The usage after the command's words: `[options] <room> [key]`. */
  readonly usage: string;
  readonly description: string;
  readonly arguments: readonly ArgumentInfo[];
  readonly options: readonly OptionInfo[];
  readonly notes: readonly Note[];
  readonly examples: readonly string[];
  /** Whether it can run on its own; a group of commands may, too. */
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

function argumentInfo(argument: Argument) {
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

function optionInfo(option: Option) {
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

/** Splits a text into parts. A part ends at an empty line, and where an indentation begins or ends. */
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

/** Reads the text of `addHelpText("after", …)` in the form that `program/groups/define.ts` gives it. */
function readHelpText(command: Command): Pick<CommandInfo, "notes" | "examples"> {
  let text = "";
  // Commander asks for the text with the same context.
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

/** A command with all commands below it. Hidden commands and commander's own help are left out. */
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
    // Commander has no public name for the action. It shows the help of a command without one.
    is_runnable: "_actionHandler" in command && typeof command._actionHandler === "function",
    commands: shown.map((one) => describeCommand(one, path)),
  };
}

/** A command and all commands below it, each group before its commands. */
export function everyCommand(command: CommandInfo): CommandInfo[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

/** Heading of the options of all commands that talk to a bus. */
export const BUS_OPTIONS = "Bus options:";
