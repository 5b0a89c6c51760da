/** Turns commander's error for a wrong command line into ours, with suggestions. Runs nothing. */
import type { Command, CommanderError } from "commander";
import { editDistance } from "../../shared/config/suggest.ts";
import { CommandError, EXIT, failed, usageError } from "../terminal/exit.ts";

/** Words of other tools, and our command for each: in full, or its last word in any group. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  publish: ["pub"],
  send: ["pub"],
  produce: ["pub"],
  emit: ["pub"],
  subscribe: ["sub"],
  listen: ["sub"],
  consume: ["sub"],
  login: ["auth gen", "context add"],
  signin: ["auth gen", "context add"],
  token: ["auth gen"],
  jwt: ["auth gen"],
  keygen: ["auth keys"],
  start: ["dev up", "serve"],
  run: ["dev up", "serve"],
  server: ["serve"],
  stop: ["dev down"],
  ps: ["dev status", "status"],
  info: ["status"],
  health: ["status"],
  new: ["init"],
  create: ["init", "set"],
  follow: ["tail", "sub"],
  monitor: ["top"],
  stats: ["top"],
  users: ["room members"],
  who: ["room members"],
  presence: ["room members", "room watch"],
  ls: ["list"],
  show: ["get", "list"],
  rm: ["remove", "delete"],
  del: ["delete", "remove"],
  delete: ["remove"],
  remove: ["delete"],
  put: ["set", "push", "deploy"],
  upload: ["push", "deploy"],
  compile: ["build"],
};

type Test = (command: string) => boolean;

const SHOWN_MAX = 6;

/** Whether a word may be a typo of another: one edit in a short word, two in a longer one. */
const isClose = (word: string, wanted: string) =>
  wanted.length > 2 && editDistance(word, wanted) <= (wanted.length > 5 ? 2 : 1);

/**
 * Full commands that `unknown` may stand for below the group `at` ("" is `arq` itself): those of the group, else those
 * below it, else those of other groups. Empty when none is similar. `commands` holds the words of all commands: `room
 * get`.
 */
export function similarCommands(
  unknown: string,
  at: string,
  commands: readonly string[],
): string[] {
  const word = unknown.toLowerCase();
  const meant = Object.hasOwn(SYNONYMS, word) ? SYNONYMS[word] ?? [] : [];
  const last = (command: string) => command.slice(command.lastIndexOf(" ") + 1);
  const named: Test[] = [
    ...meant.map((one) => (command: string) => command === one || last(command) === one),
    (command) => last(command) === word,
  ];
  const near: Test[] = [
    (command) => isClose(word, last(command)),
    (command) => word.length > 1 && last(command).startsWith(word),
  ];
  const begin = at === "" ? "" : `${at} `;
  const below = commands.filter((command) => command.startsWith(begin));
  const own = below.filter((command) => !command.slice(begin.length).includes(" "));
  for (const scope of [own, below, commands]) {
    for (const tests of [named, near]) {
      const found = tests.flatMap((test) => scope.filter(test));
      if (found.length > 0) return [...new Set(found)].slice(0, SHOWN_MAX);
    }
  }
  return [];
}

/** The command that a command line names as far as its words are right, and these words. */
function commandOf(program: Command, args: readonly string[]): [Command, words: string] {
  let command = program;
  let words = program.name();
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
  // A runnable group treats the word as an argument too many.
  const is_group = error.code === "commander.excessArguments" && command.commands.length > 0;
  return is_group ? / but got \d+: (.*?)(?:, .*)?\.$/s.exec(error.message)?.[1] : undefined;
}

/** A hint with the commands that a wrong word may stand for; empty when none is similar. */
function meant(unknown: string, program: Command, at: string): string[] {
  const similar = similarCommands(unknown, at, wordsBelow(program))
    .map((words) => `${program.name()} ${words}`);
  if (similar.length === 0) return [];
  return [`Did you mean ${similar.length === 1 ? similar[0] : `one of ${similar.join(", ")}`}?`];
}

/** The usage error for commander's error. Commander has one text, whose later lines give advice. */
export function wrongCommandLine(
  error: CommanderError,
  program: Command,
  args: readonly string[],
): CommandError {
  const [command, words] = commandOf(program, args);
  const unknown = unknownWord(error, command);
  const [first = "", ...others] = error.message.replace(/^error: /, "").split("\n")
    .map((line) => line.trim().replace(/^\((Did you mean .*)\)$/, "$1"))
    .filter((line) => line !== "");
  const at = words.slice(program.name().length).trim();
  const [what, more] = unknown === undefined
    ? [first, others]
    : [`unknown command '${unknown}'`, meant(unknown, program, at)];
  const help = `${words} --help shows its usage`;
  const hints = [...more, help].map((hint, index, { length }) =>
    index + 1 === length || /[.?!]$/.test(hint) ? hint : `${hint};`
  );
  return usageError(what, hints.join(" "));
}

/** The same error; of `arq plan` a failure, since the exit code of a wrong command line means changes there. */
export function unlessPlan(
  error: unknown,
  program: () => Command,
  args: readonly string[],
): unknown {
  if (!(error instanceof CommandError) || error.exit_code !== EXIT.usage) return error;
  const [, words] = commandOf(program(), args);
  return words === "arq plan" ? failed(error.message, error.hint) : error;
}
