/**
 * Shell completion from the definition of the commands: the part that all shells share. A script has
 * everything in it, so that a key press starts no process; only names of contexts are asked for.
 */
import { bashScript } from "./completion_bash.ts";
import { fishScript } from "./completion_fish.ts";
import { powershellScript } from "./completion_powershell.ts";
import { zshScript } from "./completion_zsh.ts";
import { everyCommand } from "./command_tree.ts";
import type { CommandInfo, ValueKind } from "./command_tree.ts";

/** The shells that there are scripts for. */
export const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;

/** A shell that there is a completion script for. */
export type Shell = typeof SHELLS[number];

/** What can stand at one place of a command line. */
export interface Place {
  readonly kind: ValueKind;
  /** The words of a place of kind `choice`. */
  readonly choices: readonly string[];
  readonly description: string;
}

/** The facts about an option that a completion script needs. */
export interface CompletedOption {
  readonly short: string | undefined;
  readonly long: string;
  readonly description: string;
  /** The option's value; undefined: it takes none. */
  readonly value: (Place & { readonly name: string }) | undefined;
}

/** The facts about a command that a completion script needs. */
export interface CompletedCommand {
  /** All words of the command, with a blank between two. */
  readonly words: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly CompletedOption[];
  readonly operands: readonly (Place & { readonly name: string; readonly is_variadic: boolean })[];
}

const HELP: CompletedOption = {
  short: "-h",
  long: "--help",
  description: "display help for command",
  value: undefined,
};

function completed(command: CommandInfo): CompletedCommand {
  const options = command.options.map((option) => ({
    short: option.short,
    long: option.long,
    description: option.description,
    // Completion does not wait for a value that may be left out.
    value: option.value === undefined || option.is_value_optional ? undefined : {
      name: option.value,
      kind: option.kind,
      choices: option.choices,
      description: option.description,
    },
  }));
  return {
    words: command.path.join(" "),
    commands: command.commands.map(({ path, description }) => ({
      name: path.at(-1) ?? "",
      description,
    })),
    options: [...options, HELP],
    operands: command.arguments,
  };
}

/** Every command, each group before its commands. The last one is `help`, which commander adds. */
export function completedCommands(program: CommandInfo): CompletedCommand[] {
  const [root, ...others] = everyCommand(program).map(completed);
  if (root === undefined) return [];
  const help = { name: "help", description: "display help for command" };
  const names = { name: "command", is_variadic: false, kind: "choice", description: "" } as const;
  const choices = root.commands.map(({ name }) => name);
  return [
    { ...root, commands: [...root.commands, help] },
    ...others,
    {
      words: `${root.words} help`,
      commands: [],
      options: [HELP],
      operands: [{ ...names, choices }],
    },
  ];
}

const SCRIPTS: Readonly<Record<Shell, (commands: readonly CompletedCommand[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
  powershell: powershellScript,
};

/** The completion script for a shell. */
export function completionScript(shell: Shell, program: CommandInfo): string {
  return SCRIPTS[shell](completedCommands(program));
}
