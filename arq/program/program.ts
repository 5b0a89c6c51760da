/**
 * The command line of `arq` in commander: commands, options, help. It parses and calls the files in `commands/`, which
 * do the work.
 */
import { Command, CommanderError } from "commander";
import { VERSION } from "../../shared/version.ts";
import { asksForJson, EXIT, EXIT_HELP } from "../terminal/exit.ts";
import { addAll, type Definition, type Run } from "./groups/define.ts";
import { finish, type Io, print } from "../terminal/io.ts";
import { busOptionsLast, flagsOf } from "./groups/options.ts";
import { AUDIT, JOURNAL } from "./groups/records.ts";
import { AUTH } from "./groups/auth.ts";
import { HOOK, SCHEDULE } from "./groups/automation.ts";
import { BACKUP, BRIDGE, STANDBY } from "./groups/backup.ts";
import { TENANTS, USER } from "./groups/room_history.ts";
import { DESIRED } from "./groups/desired.ts";
import { DEV, INIT, SERVE } from "./groups/dev.ts";
import { MESSAGES, ROOM } from "./groups/room.ts";
import { MIRROR } from "./groups/mirror.ts";
import { DOCTOR, OBSERVE, WHY } from "./groups/observe.ts";
import { POLICY, REDUCER } from "./groups/policy.ts";
import { PROOF } from "./groups/proof.ts";
import { SCHEMA } from "./groups/schema.ts";
import { COMPLETION, CONFIG, CONTEXT } from "./groups/setup.ts";

/** Every command, in the order of the help. */
const ALL: readonly Definition[] = [
  ...[...INIT, ...CONFIG, ...CONTEXT, ...DOCTOR, ...SERVE, ...DEV, ...AUTH, ...MESSAGES, ...ROOM],
  ...[...POLICY, ...REDUCER, ...SCHEMA, ...MIRROR, ...OBSERVE, ...AUDIT, ...PROOF, ...DESIRED],
  ...[...JOURNAL, ...SCHEDULE, ...HOOK, ...BRIDGE, ...BACKUP, ...USER, ...TENANTS, ...STANDBY],
  ...[...WHY, ...COMPLETION],
];

/**
 * Defines every command with its options and help, or only those that begin with the word `only`. Commands
 * run from this definition, and the completion and the manual page are made from it. It does
 * nothing on its own.
 */
export function buildProgram(run: Run, only?: string): Command {
  const program = new Command("arq")
    .description("The command line of ArqonBus.")
    .version(VERSION)
    .option("--context <name>", "the bus of this context; may also stand after the command")
    // This allows a command its own --version.
    .enablePositionalOptions()
    .exitOverride()
    .addHelpText("afterAll", `\n${EXIT_HELP}`);
  addAll(program, run, only === undefined ? ALL : ALL.filter(({ words }) => words[0] === only));
  everyOne(program).forEach(busOptionsLast);
  return program;
}

/**
 * The first word of a command line, when a program with only that command is enough. Completion, manual page and help
 * describe the whole program.
 */
function onlyWord([word]: readonly string[]): string | undefined {
  const is_enough = ALL.some((one) => one.words[0] === word && !COMPLETION.includes(one));
  return is_enough ? word : undefined;
}

const everyOne = (command: Command): Command[] => [
  command,
  ...command.commands.flatMap(everyOne),
];

/** Width of the help without a terminal and on a wide one. */
const HELP_COLUMNS = 100;

/** Runs one command line. Resolves with its exit code; rejects with the error of the command. */
export async function runProgram(io: Io, args: readonly string[]): Promise<number> {
  let exit_code: number = EXIT.ok;
  const run: Run = (action) => async (...parsed) => {
    const command = parsed.pop() as Command;
    parsed.pop();
    const named = command.registeredArguments.map((one, at) => [one.name(), parsed[at]]);
    const flags = await flagsOf(io, command);
    const ended = await action(io, flags, parsed, Object.fromEntries(named), command);
    exit_code = await finish(io, ended, flags["json"] === true);
  };
  const program = buildProgram(run, onlyWord(args));
  const width = Math.min(io.size()?.columns ?? HELP_COLUMNS, HELP_COLUMNS);
  for (const command of everyOne(program)) {
    command.configureOutput({
      writeOut: (text) => void print(io.stdout, reflow(text, width)),
      writeErr: (text) => void print(io.stderr, reflow(text, width)),
      // The error is reported with all others.
      outputError: () => {},
      getOutHelpWidth: () => width,
      getErrHelpWidth: () => width,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  }
  try {
    if (args.length === 0) program.help();
    await program.parseAsync([...args], { from: "user" });
    return exit_code;
  } catch (error) {
    const { unlessPlan, wrongCommandLine } = await import("./wrong_command_line.ts");
    // Any command may have been meant.
    const whole = () => buildProgram(run);
    if (!(error instanceof CommanderError)) throw unlessPlan(error, whole, args);
    if (error.exitCode === 0) return EXIT.ok;
    // The command line names a group without a command; commander has shown its help.
    if (error.code === "commander.help" && !asksForJson(args)) return EXIT.usage;
    throw unlessPlan(wrongCommandLine(error, whole(), args), whole, args);
  }
}

/** Wraps one line between words. Later lines are indented to the text after the list's mark. */
function fold(line: string, width: number): string[] {
  if (line.length <= width) return [line];
  const indent = /^ *(?:\d+\. )?/.exec(line)?.[0] ?? "";
  const folded: string[] = [];
  let current = indent;
  for (const word of line.slice(indent.length).split(" ")) {
    const is_first = current.trim() === "" || current === indent;
    if (!is_first && current.length + 1 + word.length > width) {
      folded.push(current);
      current = " ".repeat(indent.length) + word;
    } else current += is_first ? word : ` ${word}`;
  }
  return [...folded, current];
}

/**
 * A text whose lines are at most `width` long where words allow it. Adjacent lines without indentation are one
 * paragraph and are reflowed; indented ones are only wrapped.
 */
export function reflow(text: string, width: number): string {
  const paragraphs: string[] = [];
  let is_flowing = false;
  for (const line of text.split("\n")) {
    const flows = /^[^\s]/.test(line);
    if (flows && is_flowing) paragraphs.push(`${paragraphs.pop()} ${line}`);
    else paragraphs.push(line);
    is_flowing = flows && !line.endsWith(":");
  }
  return paragraphs.flatMap((line) => fold(line, width)).join("\n");
}
