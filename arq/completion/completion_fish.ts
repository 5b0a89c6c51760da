/** The completion script of fish 3 and newer. Pure. */
import type { CompletedCommand, CompletedOption, Place } from "./completion.ts";

const quoted = (text: string) => `'${text.replace(/[\\']/g, (mark) => `\\${mark}`)}'`;

function candidates({ kind, choices }: Place): string {
  switch (kind) {
    case "choice":
      return ` -x -a ${quoted(choices.join(" "))}`;
    case "file":
      return " -r -F";
    case "folder":
      return " -x -a '(__fish_complete_directories)'";
    case "context":
      return " -x -a '(arq __complete contexts 2>/dev/null)'";
    case "text":
      return " -x";
    default:
      return kind satisfies never;
  }
}

function optionLine(words: string, { short, long, description, value }: CompletedOption): string {
  const names = `${short === undefined ? "" : ` -s ${short.slice(1)}`} -l ${long.slice(2)}`;
  const what = value === undefined ? "" : candidates(value);
  return `complete -c arq -n ${quoted(`__arq_at '${words}'`)}${names}${what} -d ${
    quoted(description)
  }\n`;
}

function operandLines({ words, operands }: CompletedCommand): string[] {
  return operands.flatMap((operand, index) => {
    if (operand.kind === "text") return [];
    const condition = quoted(`__arq_at '${words}' ${operand.is_variadic ? "" : index}`.trimEnd());
    // An operand for files needs no `-r`, which is for the value of an option.
    const what = operand.kind === "file" ? " -F" : candidates(operand).replace(" -x", " -f");
    return [`complete -c arq -n ${condition}${what}\n`];
  });
}

const HEAD = `# fish completion for arq, made by \`arq completion fish\`.
# To have it in every new shell:
#   arq completion fish > ~/.config/fish/completions/arq.fish
`;

const MAIN = `
# The command that stands before the cursor, and how many operands follow it.
function __arq_place
    set -l path arq
    set -l operands 0
    set -l skip 0
    set -l rest 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if test $rest = 1
            set operands (math $operands + 1)
        else if test "$word" = --
            set rest 1
        else if string match -q -- '-*' $word
            if contains -- "$path $word" $__arq_valued
                set skip 1
            end
        else if contains -- "$path $word" $__arq_commands
            set path "$path $word"
        else
            set operands (math $operands + 1)
        end
    end
    echo $path
    echo $operands
end

function __arq_at
    set -l place (__arq_place)
    test "$place[1]" = "$argv[1]"; or return 1
    test (count $argv) -lt 2; or test "$place[2]" = "$argv[2]"
end

complete -c arq -f
`;

/** The completion script of fish for these commands. */
export function fishScript(commands: readonly CompletedCommand[]): string {
  const known = commands.slice(1).map(({ words }) => quoted(words));
  const valued = commands.flatMap(({ words, options }) =>
    options.flatMap(({ short, long, value }) =>
      value === undefined
        ? []
        : [short, long].flatMap((name) => name === undefined ? [] : [quoted(`${words} ${name}`)])
    )
  );
  const lists = `\nset -g __arq_commands ${known.join(" \\\n    ")}\n` +
    `set -g __arq_valued ${valued.join(" \\\n    ")}\n`;
  const lines = commands.flatMap((command) => [
    ...command.commands.map(({ name, description }) =>
      `complete -c arq -n ${quoted(`__arq_at '${command.words}' 0`)} -a ${name} -d ${
        quoted(description)
      }\n`
    ),
    ...command.options.map((option) => optionLine(command.words, option)),
    ...operandLines(command),
  ]);
  return HEAD + lists + MAIN + lines.join("");
}
