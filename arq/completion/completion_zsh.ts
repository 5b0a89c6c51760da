/** The completion script of zsh. Pure. */
import type { CompletedCommand, CompletedOption, Place } from "./completion.ts";

const functionName = (words: string) => `_${words.replaceAll(/[ -]/g, "_")}`;
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
/**
 * Escapes a text for a specification, in which a colon ends the message and brackets mark the description.
 */
const message = (text: string) => text.replace(/[\\:[\]]/g, (mark) => `\\${mark}`);

function action({ kind, choices }: Place): string {
  if (kind === "choice") return `(${choices.join(" ")})`;
  return { file: "_files", folder: "_files -/", context: "_arq_contexts", text: " " }[kind];
}

function optionSpecs({ short, long, description, value }: CompletedOption): string[] {
  const text = `[${message(description)}]`;
  const argument = value === undefined ? "" : `:${message(value.name)}:${action(value)}`;
  const names = [short, long].filter((name) => name !== undefined);
  const others = names.length > 1 ? `(${names.join(" ")})` : "";
  return names.map((name) => {
    const sign = value === undefined ? "" : name.startsWith("--") ? "=" : "+";
    return quoted(`${others}${name}${sign}${text}${argument}`);
  });
}

function operandSpec(operand: CompletedCommand["operands"][number]): string {
  const place = `${message(operand.name)}:${action(operand)}`;
  return quoted(operand.is_variadic ? `*:${place}` : `:${place}`);
}

function groupFunction(group: CompletedCommand): string {
  const names = group.commands.map(({ name, description }) =>
    `    ${quoted(`${name}:${description.replaceAll(":", "\\:")}`)}\n`
  );
  const branches = group.commands.map(({ name }) =>
    `        ${name}) ${functionName(`${group.words} ${name}`)} ;;\n`
  );
  const specs = group.options.flatMap(optionSpecs).map((spec) => `    ${spec} \\\n`);
  return `
${functionName(group.words)}() {
  local context state state_descr line
  typeset -A opt_args
  local -a commands=(
${names.join("")}  )
  _arguments -C -S \\
${specs.join("")}    '1: :->command' '*:: :->rest'
  case $state in
    command) _describe -t commands command commands ;;
    rest)
      case $line[1] in
${branches.join("")}      esac ;;
  esac
}
`;
}

function leafFunction(command: CompletedCommand): string {
  const specs = [...command.options.flatMap(optionSpecs), ...command.operands.map(operandSpec)];
  return `
${functionName(command.words)}() {
  _arguments -S \\
    ${specs.join(" \\\n    ")}
}
`;
}

const HEAD = `#compdef arq
# zsh completion for arq, made by \`arq completion zsh\`.
# To have it in every new shell, into a folder of $fpath:
#   arq completion zsh > "\${fpath[1]}/_arq"
# or in ~/.zshrc, after compinit: source <(arq completion zsh)

_arq_contexts() {
  local -a names
  names=(\${(f)"$(arq __complete contexts 2>/dev/null)"})
  compadd -a names
}
`;

const END = `
if [ "$funcstack[1]" = "_arq" ]; then
  _arq "$@"
else
  compdef _arq arq
fi
`;

/** The completion script of zsh for these commands. */
export function zshScript(commands: readonly CompletedCommand[]): string {
  const functions = commands.map((command) =>
    command.commands.length > 0 ? groupFunction(command) : leafFunction(command)
  );
  return HEAD + functions.join("") + END;
}
