/**
 * `arq completion` and `arq man`: print texts that are made from the definition of the commands. They write
 * no files, since a person decides where a shell finds its scripts.
 */
import {
  BUS_OPTIONS,
  type CommandInfo,
  everyCommand,
  type Note,
  type OptionInfo,
} from "../../completion/command_tree.ts";
import { candidates, completionScript, type Shell } from "../../completion/completion.ts";
import { DEV_CONTEXT, readContexts } from "../../bus/contexts.ts";
import { EXIT, EXIT_MEANINGS } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

const MARKS: Readonly<Record<string, string>> = {
  "\\": "\\(rs",
  "-": "\\-",
  "'": "\\(aq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
};

/** Escapes a line for roff, so that every character stands for itself and a leading dot is no request. */
export function roff(text: string): string {
  const escaped = [...text].map((character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x80) return MARKS[character] ?? character;
    return `\\[u${code.toString(16).toUpperCase().padStart(4, "0")}]`;
  }).join("");
  return escaped.startsWith(".") ? `\\&${escaped}` : escaped;
}

const bold = (text: string) => `\\fB${roff(text)}\\fR`;

/** The flags of an option in roff: placeholders are in italics and keep their brackets. */
function flags(text: string): string {
  return text.split(/(<[^>]*>|\[[^\]]*\])/).map((part, index) =>
    index % 2 === 1 ? `\\fI${roff(part)}\\fR` : part.trim() === "" ? part : bold(part)
  ).join("");
}

/** The notes of a command in roff: lists are indented a little, the lines of other text flow. */
function paragraphs(notes: readonly Note[]): string {
  return notes.map(({ is_list, lines }) => {
    if (!is_list) return `.PP\n${lines.map((line) => `${roff(line)}\n`).join("")}`;
    const items = lines.map((line) => `.IP "" 2\n${roff(line)}\n`);
    return `.PD 0\n${items.join("")}.PD\n`;
  }).join("");
}

function optionText({ choices, preset, description, is_required }: OptionInfo): string {
  const more = [
    ...(choices.length > 0 ? [`one of ${choices.join(", ")}`] : []),
    ...(preset === undefined ? [] : [`default: ${preset}`]),
    ...(is_required ? ["required"] : []),
  ];
  return more.length === 0 ? description : `${description} (${more.join("; ")})`;
}

const item = (head: string, text: string) => `.TP\n${head}\n${roff(text)}\n`;

function commandSection(command: CommandInfo): string {
  const own = command.options.filter(({ group }) => group !== BUS_OPTIONS);
  const is_of_bus = own.length < command.options.length;
  const usage = !command.is_runnable ? "" : ` ${flags(command.usage)}`;
  return `.SS ${roff(command.path.join(" "))}\n${bold(command.path.join(" "))}${usage}\n` +
    `.PP\n${roff(sentence(command.description))}\n` +
    paragraphs(command.notes) +
    command.arguments.map((argument) =>
      item(`\\fI${roff(argument.name)}\\fR`, argument.description)
    ).join("") +
    own.map((option) => item(flags(option.flags), optionText(option))).join("") +
    (is_of_bus ? '.PP\nIt also takes the options of\n.BR "BUS OPTIONS" .\n' : "") +
    (command.examples.length === 0
      ? ""
      : `.PP\n.EX\n${command.examples.map((line) => `  ${roff(line)}\n`).join("")}.EE\n`);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;
}

const lowered = (text: string) =>
  `${text.charAt(0).toLowerCase()}${text.slice(1)}`.replace(/\.$/, "");

const ENVIRONMENT = [
  ["NO_COLOR", "When it is set and not empty, nothing is colored."],
  ["XDG_CONFIG_HOME, HOME, APPDATA", "Where the contexts are kept."],
] as const;

const FILES = [
  ["$XDG_CONFIG_HOME/arqon/contexts.json, else ~/.config/arqon/contexts.json", "The contexts."],
  [".arqon/dev/", "Where a development bus says that it runs, in this folder or one above it."],
] as const;

/** The manual page in roff; `version` is the version of `arq`. */
export function manPage(program: CommandInfo, version: string): string {
  const commands = everyCommand(program).slice(1);
  const bus = commands.flatMap(({ options }) => options);
  const bus_options = new Map(
    bus.filter(({ group }) => group === BUS_OPTIONS).map((option) => [option.long, option]),
  );
  return [
    `.\\" Made by arq man of the definition of the commands.\n`,
    `.TH ARQ 1 "" "ArqonBus ${version}" "User Commands"\n`,
    `.SH NAME\narq \\- ${roff(lowered(program.description))}\n`,
    `.SH SYNOPSIS\n.B arq\n.I command\n.RI [ options ]\n.RI [ operands ]\n`,
    ".SH DESCRIPTION\n",
    "Results go to standard output, everything else to standard error.\n",
    `${
      roff("With --json the result is JSON: one document, or one object a line for what comes")
    }\n`,
    `bit by bit; an error is then one object on standard error.\n`,
    `.PP\n${roff("arq COMMAND --help says what this page says of one command.")}\n`,
    ".SH OPTIONS\n",
    program.options.map((option) => item(flags(option.flags), optionText(option))).join(""),
    item(flags("-h, --help"), "Display help for a command."),
    ".SH BUS OPTIONS\n",
    [...bus_options.values()].map((option) => item(flags(option.flags), optionText(option)))
      .join(""),
    ".SH COMMANDS\n",
    commands.map(commandSection).join(""),
    ".SH EXIT STATUS\n",
    EXIT_MEANINGS.map(([code, meaning]) => item(bold(String(code)), meaning)).join(""),
    ".SH ENVIRONMENT\n",
    ENVIRONMENT.map(([name, text]) => item(bold(name), text)).join(""),
    ".SH FILES\n",
    FILES.map(([name, text]) => item(`\\fI${roff(name)}\\fR`, text)).join(""),
  ].join("");
}

/** Prints the completion script for a shell. */
export async function completion(
  io: Io,
  shell: Shell,
  flags: Flags,
): Promise<number> {
  const script = completionScript(shell);
  await print(io.stdout, flags.json ? `${JSON.stringify({ shell, script })}\n` : script);
  return EXIT.ok;
}

/** Prints the manual page in roff; `version` is the version of `arq`. */
export async function man(
  io: Io,
  program: CommandInfo,
  version: string,
  flags: Flags,
): Promise<number> {
  const page = manPage(program, version);
  await print(io.stdout, flags.json ? `${JSON.stringify({ page })}\n` : page);
  return EXIT.ok;
}

/** Prints what fits at the cursor, for the completion scripts; names of contexts only where they can be read. */
export async function complete(
  io: Io,
  program: CommandInfo,
  words: readonly string[],
  at: string,
): Promise<number> {
  const contexts = async () => {
    const { contexts } = await readContexts(io).catch(() => ({ contexts: [] }));
    return [...contexts.map(({ name }) => name), DEV_CONTEXT];
  };
  const found = await candidates(program, words, at, contexts);
  await print(io.stdout, found.map((line) => `${line}\n`).join(""));
  return EXIT.ok;
}
