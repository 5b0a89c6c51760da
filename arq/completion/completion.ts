/**
 * Shell completion, made of the commands' definition: what is common to all shells. The scripts are
 * whole by themselves, so that a key press starts no process; only names of contexts are asked for.
 */
import { bashScript } from "./completion_bash.ts";
import { fishScript } from "./completion_fish.ts";
import { powershellScript } from "./completion_powershell.ts";
import { zshScript } from "./completion_zsh.ts";
import { everyCommand } from "./command_tree.ts";
import type { CommandInfo, ValueKind } from "./command_tree.ts";

/** The shells that there are scripts for. */
export const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;

/** One of them. */
export type Shell = typeof SHELLS[number];

/** What can stand at a place of a command line. */
export interface Place {
  readonly kind: ValueKind;
  /** Of the kind `choice`. */
  readonly choices: readonly string[];
  readonly description: string;
}

/** An option as a shell needs it. */
export interface CompletedOption {
  readonly short: string | undefined;
  readonly long: string;
  readonly description: string;
  /** Undefined: it takes no value. */
  readonly value: (Place & { readonly name: string }) | undefined;
}

/** A command as a shell needs it. */
export interface CompletedCommand {
  /** All its words with a blank between two. */
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
    // A value that may be left out is not waited for.
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

/** Every command, each group before its own; `help`, which commander adds, is the last one. */
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

/** The script of a shell. */
export function completionScript(shell: Shell, program: CommandInfo): string {
  return SCRIPTS[shell](completedCommands(program));
}
