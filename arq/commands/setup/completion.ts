/**
 * `arq completion` and `arq man`: print texts made from the definition of the commands. They write no files, since the
 * user decides where a shell finds its scripts.
 */
import { BUS_OPTIONS, everyCommand } from "../../completion/command_tree.ts";
import type { CommandInfo, Note, OptionInfo, ValueKind } from "../../completion/command_tree.ts";
import { DEV_CONTEXT, readContexts } from "../../bus/contexts.ts";
import { EXIT_MEANINGS } from "../../terminal/exit.ts";
import { type Ended, type Io, print } from "../../terminal/io.ts";

/** The shells that have completion scripts. */
export const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;

/** A shell that has a completion script. */
export type Shell = typeof SHELLS[number];

/** What fits at one position of a command line. */
interface Place {
  /** `choice`: one of `names`; `text`: anything, so nothing is offered. */
  readonly kind: ValueKind;
  readonly names: readonly (readonly [name: string, description: string])[];
}

const NOTHING: Place = { kind: "text", names: [] };
const HELP = "display help for command";

/** The option of this name; undefined when there is none, or when it takes no separate value. */
function waiting({ options }: CommandInfo, word: string): OptionInfo | undefined {
  return options.find(({ short, long, value, is_value_optional }) =>
    (word === short || word === long) && value !== undefined && !is_value_optional
  );
}

const placeOf = ({ kind, choices }: Pick<OptionInfo, "kind" | "choices">): Place => ({
  kind,
  names: choices.map((name) => [name, ""]),
});

function optionsOf({ options }: CommandInfo): Place {
  const names = options.flatMap(({ short, long, description }) =>
    (short === undefined ? [long] : [short, long]).map((name) => [name, description] as const)
  );
  return { kind: "choice", names: [...names, ["-h", HELP], ["--help", HELP]] };
}

/** The position that follows these words of a command line, when the word in it begins with `at`. */
function placeAfter(program: CommandInfo, words: readonly string[], at: string): Place {
  let command = program;
  let option: OptionInfo | undefined;
  let operands = 0;
  let has_ended = false;
  // bash splits --option=value at the equals sign.
  for (const word of words.filter((one) => one !== "=")) {
    const below = command.commands.find(({ path }) => path.at(-1) === word);
    if (option !== undefined) option = undefined;
    else if (has_ended) operands++;
    else if (word === "--") has_ended = true;
    else if (word.startsWith("-")) option = waiting(command, word);
    else if (below !== undefined) command = below;
    else operands++;
  }
  if (option !== undefined) return placeOf(option);
  if (at.startsWith("-") && !has_ended) return optionsOf(command);
  if (command.commands.length > 0) {
    return {
      kind: "choice",
      names: command.commands.map(({ path, description }) => [path.at(-1) ?? "", description]),
    };
  }
  const last = command.arguments.at(-1);
  const operand = command.arguments[operands] ?? (last?.is_variadic ? last : undefined);
  return operand === undefined ? NOTHING : placeOf(operand);
}

function withHelp(program: CommandInfo): CommandInfo {
  const choices = program.commands.map(({ path }) => path.at(-1) ?? "");
  const operand = { name: "command", is_required: false, is_variadic: false, description: "" };
  const help = {
    ...program,
    path: [...program.path, "help"],
    description: HELP,
    options: [],
    commands: [],
    arguments: [{ ...operand, kind: "choice" as const, choices }],
  };
  return { ...program, commands: [...program.commands, help] };
}

/**
 * What fits at the cursor: one candidate per line, with a tab before its description; or `:file` and `:folder`, which a
 * shell completes itself. `contexts` reads the names of the contexts.
 */
export async function candidates(
  program: CommandInfo,
  words: readonly string[],
  at: string,
  contexts: () => Promise<readonly string[]>,
): Promise<string[]> {
  const [, before = "", name = ""] = /^((--[^=]+)=)/.exec(at) ?? [];
  const { kind, names } = before === ""
    ? placeAfter(withHelp(program), words, at)
    : placeAfter(withHelp(program), [...words, name], "");
  if (kind === "file" || kind === "folder") return [`:${kind}`];
  const all = kind === "context" ? (await contexts()).map((one) => [one, ""] as const) : names;
  return all.map(([name, description]) => `${before}${name}\t${description}`)
    // The equals sign alone is where bash has split.
    .filter((line) => line.startsWith(at === "=" ? "" : at));
}

const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# In every new shell: arq completion bash > ~/.local/share/bash-completion/completions/arq
# or, without the package bash-completion, in ~/.bashrc: source <(arq completion bash)
_arq() {
  local IFS=$'\\n' cur=\${COMP_WORDS[COMP_CWORD]} found
  found=$(arq complete "--at=$cur" -- "\${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null | cut -f1)
  [ "$cur" = "=" ] && cur=
  case $found in
    :file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
    :folder) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$cur")) ;;
    *) COMPREPLY=($found) ;;
  esac
}
complete -F _arq arq
`,
  zsh: `#compdef arq
# In every new shell: arq completion zsh > "\${fpath[1]}/_arq"
# or in ~/.zshrc, after compinit: source <(arq completion zsh)
_arq() {
  local -a before=("\${(@Q)words[2,CURRENT-1]}") found
  found=(\${(f)"$(arq complete "--at=\${(Q)PREFIX}" -- "$before[@]" 2>/dev/null)"})
  case $found[1] in
    :file) compset -P '--*='; _files ;;
    :folder) compset -P '--*='; _files -/ ;;
    *) found=("\${(@)found//:/\\\\:}"); found=("\${(@)found/$'\\t'/:}"); _describe command found ;;
  esac
}
if [ "$funcstack[1]" = "_arq" ]; then _arq "$@"; else compdef _arq arq; fi
`,
  fish: `# In every new shell: arq completion fish > ~/.config/fish/completions/arq.fish
function _arq_complete
  set -l cur (commandline -ct)
  set -l words (commandline -opc)
  set -l option (string match -r -- '^--[^=]*=' "$cur")
  set -l found (arq complete "--at=$cur" -- $words[2..-1] 2>/dev/null)
  switch "$found[1]"
    case :file; set found (__fish_complete_path (string replace -- "$option" '' "$cur"))
    case :folder; set found (__fish_complete_directories (string replace -- "$option" '' "$cur"))
    case '*'; set option
  end
  for one in $found; printf '%s%s\\n' "$option" $one; end
end
complete -c arq -f -a '(_arq_complete)'
`,
  powershell: `# In every new shell, in the file that $PROFILE names:
#   arq completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName 'arq' -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
    Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.Extent.Text })
  $found = @(arq complete "--at=$wordToComplete" -- @words)
  # Nothing at all lets PowerShell complete names of files.
  if ($found.Count -eq 0 -or $found[0] -in ':file', ':folder') { return }
  foreach ($line in $found) {
    $name, $text = $line.Split("\`t")
    [System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', "$name $text")
  }
}
`,
};

/** The completion script for a shell. */
export const completionScript = (shell: Shell): string => SCRIPTS[shell];

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
  [".arqon/dev/", "Where a running development bus is recorded, in this folder or one above it."],
] as const;

/** The manual page in roff; `version` is the version of `arq`. */
export function manPage(program: CommandInfo, version: string): string {
  const commands = everyCommand(program).slice(1);
  const bus = commands.flatMap(({ options }) => options);
  const bus_options = new Map(
    bus.filter(({ group }) => group === BUS_OPTIONS).map((option) => [option.long, option]),
  );
  return [
    `.\\" Generated by arq man from the definitions of the commands.\n`,
    `.TH ARQ 1 "" "ArqonBus ${version}" "User Commands"\n`,
    `.SH NAME\narq \\- ${roff(lowered(program.description))}\n`,
    `.SH SYNOPSIS\n.B arq\n.I command\n.RI [ options ]\n.RI [ operands ]\n`,
    ".SH DESCRIPTION\n",
    "Results go to standard output, everything else to standard error.\n",
    "With \\-\\-json the result is JSON: one document, or one object a line for what comes\n",
    `bit by bit; an error is then one object on standard error.\n`,
    `.PP\n${roff("arq COMMAND --help prints this page's part about one command.")}\n`,
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

/** Prints what fits at the cursor, for the completion scripts; context names only if they can be read. */
export async function complete(
  io: Io,
  program: CommandInfo,
  words: readonly string[],
  at: string,
): Promise<Ended> {
  const contexts = async () => {
    // A word that cannot be completed needs no error at the prompt.
    const { contexts } = await readContexts(io).catch(() => ({ contexts: [] }));
    return [...contexts.map(({ name }) => name), DEV_CONTEXT];
  };
  const found = await candidates(program, words, at, contexts);
  await print(io.stdout, found.map((line) => `${line}\n`).join(""));
}
