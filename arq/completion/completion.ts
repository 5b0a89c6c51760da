/**
 * Shell completion: what fits at the cursor, from the definition of the commands, and the scripts by which shells
 * ask for it. A script asks `arq complete --at=WORD -- WORDS…`: the word under the cursor and the words before it.
 */
import type { CommandInfo, OptionInfo, ValueKind } from "./command_tree.ts";

/** The shells that there are scripts for. */
export const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;

/** A shell that there is a completion script for. */
export type Shell = typeof SHELLS[number];

/** What fits at one place of a command line. */
interface Place {
  /** `choice`: one of `names`; `text`: anything, so nothing is offered. */
  readonly kind: ValueKind;
  readonly names: readonly (readonly [name: string, description: string])[];
}

const NOTHING: Place = { kind: "text", names: [] };
const HELP = "display help for command";

/** The option of this name; undefined: there is none, or no word of its own has to follow it. */
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

/** The place that follows these words of a command line, when the word in it begins with `at`. */
function placeAfter(program: CommandInfo, words: readonly string[], at: string): Place {
  let command = program;
  let option: OptionInfo | undefined;
  let [operands, has_ended] = [0, false];
  // bash cuts --option=value at the sign.
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

/** The program with `help`, which commander adds. */
function withHelp(program: CommandInfo): CommandInfo {
  const choices = program.commands.map(({ path }) => path.at(-1) ?? "");
  const operand = { name: "command", is_required: false, is_variadic: false, description: "" };
  const help = {
    ...{ ...program, path: [...program.path, "help"], description: HELP },
    ...{ options: [], commands: [], arguments: [{ ...operand, kind: "choice" as const, choices }] },
  };
  return { ...program, commands: [...program.commands, help] };
}

/**
 * What fits at the cursor: a candidate on each line, with a tab before its description; or `:file` and `:folder`,
 * which a shell completes itself. `contexts` reads the names of the contexts.
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
    // The sign alone is where bash has cut.
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
