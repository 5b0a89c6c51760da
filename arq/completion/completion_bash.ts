/** The completion script of bash 3.2 and newer. Pure; needs no package `bash-completion`. */
import type { CompletedCommand, Place } from "./completion.ts";

const words = (names: readonly string[]) => `'${names.join(" ").replaceAll("'", "'\\''")}'`;

/** The assignments to `_arq_kind` and `_arq_words` for a place; empty words mean that nothing is known. */
function assignments({ kind, choices }: Place): string {
  return kind === "choice" ? `_arq_words=${words(choices)}` : `_arq_kind=${kind}`;
}

/** The branches of a `case`, where patterns with the same body share one branch. */
function cases(branches: readonly (readonly [pattern: string, body: string])[]): string {
  const patterns = new Map<string, string[]>();
  for (const [pattern, body] of branches) {
    // A quoted star would lose its meaning, and a variadic operand needs it.
    const quoted = pattern.endsWith("*") ? `'${pattern.slice(0, -1)}'*` : `'${pattern}'`;
    patterns.set(body, [...(patterns.get(body) ?? []), quoted]);
  }
  return [...patterns].map(([body, all]) => `    ${all.join(" | ")}) ${body} ;;\n`).join("");
}

function optionBranches(commands: readonly CompletedCommand[]) {
  return commands.flatMap((command) =>
    command.options.flatMap(({ short, long, value }) =>
      value === undefined
        ? []
        : [short, long].flatMap((name) =>
          name === undefined ? [] : [[`${command.words} ${name}`, assignments(value)] as const]
        )
    )
  );
}

function operandBranches(commands: readonly CompletedCommand[]) {
  return commands.flatMap(({ words, operands }) =>
    operands.map((operand, index) => {
      const pattern = operand.is_variadic ? `${words}:*` : `${words}:${index}`;
      return [pattern, assignments(operand)] as const;
    })
  );
}

const HEAD = `# bash completion for arq, made by \`arq completion bash\`.
# To have it in every new shell:
#   arq completion bash > ~/.local/share/bash-completion/completions/arq
# or, without the package bash-completion, in ~/.bashrc: source <(arq completion bash)
`;

const MAIN = `
_arq() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
  local path=arq operands=0 skip= rest= i word _arq_words _arq_kind
  # bash cuts --option=value at the sign.
  if [ "$cur" = "=" ]; then cur=
  elif [ "$prev" = "=" ] && [ "$COMP_CWORD" -gt 1 ]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [ "$word" = "=" ]; then continue; fi
    if [ -n "$skip" ]; then skip=; continue; fi
    if [ -n "$rest" ]; then operands=$((operands + 1)); continue; fi
    case $word in
      --) rest=1 ;;
      -*)
        _arq_kind= _arq_words=
        _arq_option "$path $word"
        if [ -n "$_arq_kind$_arq_words" ]; then skip=1; fi ;;
      *)
        if _arq_is_command "$path $word"; then path="$path $word"
        else operands=$((operands + 1)); fi ;;
    esac
  done
  COMPREPLY=()
  _arq_kind= _arq_words=
  if [ -n "$skip" ]; then _arq_option "$path $prev"
  elif [ -z "$rest" ] && [ "\${cur#-}" != "$cur" ]; then _arq_options "$path"
  else
    _arq_commands "$path"
    if [ -z "$_arq_words" ]; then _arq_operand "$path:$operands"; fi
  fi
  case $_arq_kind in
    file)
      compopt -o filenames 2>/dev/null
      local IFS=$'\\n'
      COMPREPLY=($(compgen -f -- "$cur")) ;;
    folder)
      compopt -o filenames 2>/dev/null
      local IFS=$'\\n'
      COMPREPLY=($(compgen -d -- "$cur")) ;;
    context) COMPREPLY=($(compgen -W "$(arq __complete contexts 2>/dev/null)" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$_arq_words" -- "$cur")) ;;
  esac
}

complete -F _arq arq
`;

/** The completion script of bash for these commands. */
export function bashScript(commands: readonly CompletedCommand[]): string {
  const groups = commands.filter((command) => command.commands.length > 0);
  const children = groups.map((group) =>
    [group.words, `_arq_words=${words(group.commands.map(({ name }) => name))}`] as const
  );
  const options = commands.map((command) => {
    const names = command.options.flatMap(({ short, long }) =>
      short === undefined ? [long] : [short, long]
    );
    return [command.words, `_arq_words=${words(names)}`] as const;
  });
  const known = commands.slice(1).map(({ words }) => [words, "return 0"] as const);
  const table = (name: string, rows: string, end = "") =>
    `\n${name}() {\n  case $1 in\n${rows}  esac\n${end}}\n`;
  const operands = cases(operandBranches(commands));
  return HEAD + table("_arq_is_command", cases(known), "  return 1\n") +
    table("_arq_commands", cases(children)) + table("_arq_options", cases(options)) +
    table("_arq_option", cases(optionBranches(commands))) + table("_arq_operand", operands) + MAIN;
}
