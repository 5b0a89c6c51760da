/**
 * Renders the commands of `arq` as Markdown: usage, tables, examples. Pure text functions; `gen_arq.ts` has
 * the prose around them and the files.
 */
import { everyCommand } from "../../arq/completion/command_tree.ts";
import type { CommandInfo, Note, OptionInfo } from "../../arq/completion/command_tree.ts";
import { BUS_OPTIONS } from "../../arq/completion/command_tree.ts";

/** The prose in a file of this name without `.md`; undefined when there is none. */
export type Prose = (name: string) => string | undefined;

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
const row = (...cells: string[]) => `| ${cells.map(cell).join(" | ")} |`;

/** Escapes a text for Markdown: options become code, and placeholders and stars stay what they are. */
function plain(text: string): string {
  return text.replace(/[<>*_]/g, (mark) => `\\${mark}`)
    .replace(/(^|[\s(])(--[a-z][a-z-]*)/g, "$1`$2`");
}

const sentence = (text: string) =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;

function meaning({ description, choices, preset, is_required }: OptionInfo): string {
  const more = [
    ...(choices.length > 0 ? [`one of ${choices.map((one) => `\`${one}\``).join(", ")}`] : []),
    ...(preset === undefined ? [] : [`default: \`${preset}\``]),
    ...(is_required ? ["required"] : []),
  ];
  return plain(description) + (more.length === 0 ? "" : ` (${more.join("; ")})`);
}

/** The table of a command's options. */
export function optionTable(options: readonly OptionInfo[]): string {
  const lines = options.map((option) => row(`\`${option.flags}\``, meaning(option)));
  return [row("option", "meaning"), row("---", "---"), ...lines].join("\n");
}

/**
 * The notes of the help: numbered lists and other indented lines stay as they are, everything else is text.
 */
function notesText(notes: readonly Note[]): string[] {
  return notes.map(({ is_list, lines }) => {
    const text = lines.join("\n");
    if (!is_list || lines.every((line) => /^\d+\. /.test(line))) return plain(text);
    return `\`\`\`text\n${text}\n\`\`\``;
  });
}

function operandTable({ arguments: operands }: CommandInfo): string[] {
  if (operands.length === 0) return [];
  const lines = operands.map(({ name, description, choices }) =>
    row(
      `\`${name}\``,
      plain(description) + (choices.length > 0 ? ` (one of ${choices.join(", ")})` : ""),
    )
  );
  return [[row("operand", "meaning"), row("---", "---"), ...lines].join("\n")];
}

const examples = (lines: readonly string[]) =>
  lines.length === 0 ? [] : [`\`\`\`sh\n${lines.join("\n")}\n\`\`\``];

/** All that the help says about a command that does something. */
function reference(command: CommandInfo): string[] {
  const own = command.options.filter(({ group }) => group !== BUS_OPTIONS);
  const bus = own.length < command.options.length
    ? ["It also takes [the options of the bus](#which-bus)."]
    : [];
  return [
    `\`\`\`text\n${command.path.join(" ")} ${command.usage}\n\`\`\``,
    ...notesText(command.notes),
    ...operandTable(command),
    ...(own.length === 0 ? [] : [optionTable(own)]),
    ...bus,
    ...examples(command.examples),
  ];
}

/** The section of a command of the first level, with all commands below it. */
export function commandSection(command: CommandInfo, prose: Prose): string[] {
  const own = prose(command.path.slice(1).join("_"));
  const more = own === undefined ? [] : [own];
  const head = [`## \`${command.path.join(" ")}\``, sentence(plain(command.description))];
  const text = (one: CommandInfo) => one.is_runnable ? reference(one) : notesText(one.notes);
  const below = everyCommand(command).slice(1).flatMap((one) => [
    `### \`${one.path.join(" ")}\``,
    sentence(plain(one.description)),
    ...text(one),
  ]);
  return [...head, ...text(command), ...more, ...below];
}

/** A table with one line for each command that does something. */
export function commandTable(commands: readonly CommandInfo[]): string {
  const lines = commands.map(({ path, description }) => {
    const words = path.join(" ");
    return row(`[\`${words}\`](#${words.replaceAll(" ", "-")})`, plain(description));
  });
  return [row("command", "what it does"), row("---", "---"), ...lines].join("\n");
}
