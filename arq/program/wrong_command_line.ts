/** Turns commander's error for a wrong command line into ours, and says what was meant. Runs nothing. */
import type { Command, CommanderError } from "commander";
import { similarCommands } from "./did_you_mean.ts";
import { CommandError, EXIT, usageError } from "../terminal/exit.ts";

/** The command that a command line names as far as its words are right, and these words. */
function commandOf(program: Command, args: readonly string[]): [Command, words: string] {
  let [command, words] = [program, program.name()];
  for (const [index, word] of args.entries()) {
    const next = command.commands.find((one) => one.name() === word);
    const is_value = args[index - 1]?.startsWith("-") === true;
    if (next === undefined && !word.startsWith("-") && !is_value) break;
    if (next === undefined) continue;
    [command, words] = [next, `${words} ${word}`];
  }
  return [command, words];
}

/** The words of every command below a command, each in full: `room`, `room get`. */
function wordsBelow(command: Command, above = ""): string[] {
  return command.commands.flatMap((one) => {
    const words = `${above}${one.name()}`;
    return [words, ...wordsBelow(one, `${words} `)];
  });
}

/** The word that is no command of its group; undefined for any other error. */
function unknownWord(error: CommanderError, command: Command): string | undefined {
  const [, unknown] = /^error: unknown command '(.*?)'/s.exec(error.message) ?? [];
  if (unknown !== undefined) return unknown;
  // A group that does something on its own takes the word for an argument too many.
  const is_group = error.code === "commander.excessArguments" && command.commands.length > 0;
  return is_group ? / but got \d+: (.*?)(?:, .*)?\.$/s.exec(error.message)?.[1] : undefined;
}

/** A hint with the commands that a wrong word may stand for; empty when nothing is near. */
function meant(unknown: string, program: Command, at: string): string[] {
  const similar = similarCommands(unknown, at, wordsBelow(program))
    .map((words) => `${program.name()} ${words}`);
  if (similar.length === 0) return [];
  return [`Did you mean ${similar.length === 1 ? similar[0] : `one of ${similar.join(", ")}`}?`];
}

/** The usage error for commander's error. Commander has one text, whose later lines say what to do. */
export function wrongCommandLine(
  error: CommanderError,
  program: Command,
  args: readonly string[],
): CommandError {
  const [command, words] = commandOf(program, args);
  const unknown = unknownWord(error, command);
  const [first = "", ...told] = error.message.replace(/^error: /, "").split("\n")
    .map((line) => line.trim().replace(/^\((Did you mean .*)\)$/, "$1"))
    .filter((line) => line !== "");
  const at = words.slice(program.name().length).trim();
  const [what, more] = unknown === undefined
    ? [first, told]
    : [`unknown command '${unknown}'`, meant(unknown, program, at)];
  const help = `${words} --help says how it is used`;
  const hints = [...more, help].map((hint, index, { length }) =>
    index + 1 === length || /[.?!]$/.test(hint) ? hint : `${hint};`
  );
  const hint = hints.join(" ");
  // The other code for it says that a plan has changes.
  if (at === "plan") return new CommandError(what, EXIT.failure, hint);
  return usageError(what, hint);
}
