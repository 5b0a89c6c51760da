/**
 * The parts that command definitions share: parsers of options, the options of every command that talks to a
 * bus, and the way in which a command is run. It knows commander, and no command.
 */
import { BUS_OPTIONS } from "../../completion/command_tree.ts";
import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import { idProblem, isRoomPattern } from "@arqon/proto";
import { DEV_TENANT } from "../../bus/dev_bus.ts";
import { parseSeconds } from "../../bus/token.ts";
import { CommandError } from "../../terminal/exit.ts";
import type { Io } from "../../terminal/io.ts";

/** A parser whose errors become commander's, so that they name the option. */
export function value<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new InvalidArgumentError(`\n${error.message}${error.hint ? `\n${error.hint}` : ""}`);
    }
  };
}

/** A parser of numbers above 0 and at most `max`; `what` names the number in errors. */
export function positive(what: string, whole: boolean, max: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    const fits = text.trim() !== "" && number > 0 && number <= max;
    if (fits && (!whole || Number.isInteger(number))) return number;
    throw new InvalidArgumentError(`Expected ${what}.`);
  };
}

/** Reads a time with its zone. */
export function moment(text: string): number {
  const at_ms = /^\d{4}-\d\d-\d\d(T.*(Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : NaN;
  if (Number.isFinite(at_ms)) return at_ms;
  throw new InvalidArgumentError("Expected a day or a time with its zone: 2026-11-22T10:00:00Z.");
}

/** Reads a time as `moment` does, or the last time that a clock here showed `14:05` or `14:05:30`. */
export function pastMoment(text: string): number {
  const [, hours, minutes, seconds = "0"] =
    /^([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$/.exec(text) ??
      [];
  if (hours === undefined) return moment(text);
  const at = new Date();
  const now_ms = at.getTime();
  at.setHours(Number(hours), Number(minutes), Number(seconds), 0);
  if (at.getTime() > now_ms) at.setDate(at.getDate() - 1);
  return at.getTime();
}

/**
 * Reads a percentage, `10%` or `10`, as a fraction. A bare number between 0 and 1 is refused: it may be meant as the
 * fraction that files have.
 */
export function percentage(text: string): number {
  const [, digits = "", sign = ""] = /^(\d+(?:\.\d+)?|\.\d+)(%?)$/.exec(text.trim()) ?? [];
  const number = digits === "" ? NaN : Number(digits);
  if (sign === "" && number > 0 && number < 1) {
    const either = `${number}% or ${Number((number * 100).toPrecision(6))}%`;
    throw new InvalidArgumentError(`Write the % sign: is it ${either}?`);
  }
  if (number >= 0 && number <= 100) return number / 100;
  throw new InvalidArgumentError("Expected a share of all keys, 0 to 100: 10% or 10.");
}

/** A parser of ids; `what` says whose id it is: a room, a tenant, a policy. */
export function id(what: string): (text: string) => string {
  return (text) => {
    const problem = idProblem(text);
    if (problem === undefined) return text;
    throw new InvalidArgumentError(`Not a ${what}: ${problem}.`);
  };
}

/** Reads a room, or the beginning of one. */
export function roomPattern(text: string): string {
  if (isRoomPattern(text)) return text;
  throw new InvalidArgumentError("Expected a room, or the beginning of one with *: 'chat-*'.");
}

/** Gathers what an option that can be repeated says. */
export const several = (text: string, before: readonly string[] = []) => [...before, text];

/** Reads a JSON text. */
export function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError("Expected JSON.");
  }
}

/** Reads an offset in a durable room; 0 is before the first message. */
export function offset(text: string): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (number <= Number.MAX_SAFE_INTEGER) return number;
  throw new InvalidArgumentError("Expected an offset, as --json shows it: 0 or a whole number.");
}

/** Reads the epoch of an offset. */
export function epoch(text: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError("Expected an epoch, as --json shows it.");
}

/** Reads a rate: `500` or `500/s`. */
function rate(text: string): number {
  return positive("a number above 0, as 500 or 500/s", false, 1e9)(text.replace(/\/s$/, ""));
}

/** Adds the options of a command that publishes many messages. */
export function withPace(command: Command): Command {
  const window = "messages under way before the first must be acknowledged; " +
    "1 keeps their order even when the bus refuses one for now (429, 503)";
  return command
    .option("--rate <n[/s]>", "at most n messages a second", rate)
    .option("--window <n>", window, positive("a whole number from 1 to 1000", true, 1_000), 256);
}

/** Reads a room id. */
export const room = id("room");

/** The examples at the end of a command's help. */
export const examples = (...lines: string[]) =>
  `\nExamples:\n${lines.map((line) => `  ${line}\n`).join("")}`;

/** Reads an address of HTTP. */
export function httpUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw new InvalidArgumentError("Expected a URL such as http://127.0.0.1:4002.");
}

const BUS_FLAGS: readonly (readonly [flags: string, what: string, parse?: typeof httpUrl])[] = [
  ["--context <name>", "the bus of this context; dev: the running development bus"],
  ["--url <url>", "the bus, for example ws://127.0.0.1:4000 (default: see arq context --help)"],
  ["--ops-url <url>", "its ops listener, for example http://127.0.0.1:4001", httpUrl],
  ["--admin-url <url>", "its admin listener, for example http://127.0.0.1:4002", httpUrl],
  ["--token <jwt>", "the token (default: the context's, or one made with the dev bus's key)"],
  ["--token-file <file>", "read the token from a file; keeps it out of the process list"],
];

/** Adds the options of `ConnectionFlags` to a command. */
export function withConnection(command: Command): Command {
  for (const [flags, what, parse] of BUS_FLAGS) {
    const option = new Option(flags, what).helpGroup(BUS_OPTIONS);
    command.addOption(parse === undefined ? option : option.argParser(parse));
  }
  return command;
}

/** Adds the bus, and `--json` of a command that prints an answer of the bus. */
export const withJson = (command: Command): Command =>
  withConnection(command).option("--json", "print the bus's answer as JSON");

/** Adds the `--tenant` of a command that is about one tenant. */
export const withTenant = (command: Command, what = "tenant"): Command =>
  command.option("--tenant <id>", what, id("tenant"), DEV_TENANT);

/** Adds the `--tenant` that a command can do without. */
export const someTenant = (command: Command, what: string): Command =>
  command.option("--tenant <id>", what, id("tenant"));

/** A parser of the time that an option takes: `10m`, `7d` or seconds. */
export const span = (option: string) => value((text) => parseSeconds(option, text));

/** A parser of counts. */
export const count = positive("a whole number above 0", true, 2 ** 53);

/** Adds the option of `OpsTokenFlags` to a command. */
export function withOpsTokenFile(command: Command): Command {
  const what = "read the token of the ops listener from a file, where it asks for one";
  return command.addOption(new Option("--ops-token-file <file>", what).helpGroup(BUS_OPTIONS));
}

/** Puts the options of the bus after a command's own; the definitions have them first. */
export function busOptionsLast(command: Command): void {
  const rank = (option: Option) => option.helpGroupHeading === undefined ? 0 : 1;
  (command.options as Option[]).sort((one, other) => rank(one) - rank(other));
}

/** Adds the `--tenant` of a command whose subject may name the tenant. */
export function subjectTenant(command: Command): Command {
  return command.option("--tenant <id>", SUBJECT_TENANT, id("tenant"));
}

const SUBJECT_TENANT =
  "tenant (default: the one that the subject names, else the context's, else default)";

/**
 * When the tenant of the context takes the place of a missing `--tenant`: always, or only where the subject
 * names none; undefined: never.
 */
function tenantWanted(command: Command): "always" | "else" | undefined {
  if (command.getOptionValueSource("tenant") === "default") return "always";
  const option = command.options.find(({ long }) => long === "--tenant");
  const is_left_out = command.getOptionValue("tenant") === undefined;
  return option?.description === SUBJECT_TENANT && is_left_out ? "else" : undefined;
}

/**
 * The options with which a command runs. `--context` may also stand before the command. The context's tenant
 * takes the place of a missing `--tenant`; where the subject may name a tenant, it is `ownTenant`.
 */
export async function flagsOf(io: Io, command: Command): Promise<Record<string, unknown>> {
  const takes_context = command.options.some(({ long }) => long === "--context");
  const { context } = command.optsWithGlobals();
  const flags = {
    ...command.opts(),
    ...(takes_context && context !== undefined ? { context } : {}),
  };
  const wanted = takes_context ? tenantWanted(command) : undefined;
  if (wanted === undefined) return flags;
  const { contextBus } = await import("../../bus/target.ts");
  const tenant = (await contextBus(io, flags))?.tenant;
  if (tenant === undefined) return flags;
  return wanted === "always" ? { ...flags, tenant } : { ...flags, ownTenant: tenant };
}

/** Commander's options are what the definitions above make them; the types are checked there. `named`: the operands. */
export type Action = (
  io: Io,
  // deno-lint-ignore no-explicit-any
  flags: any,
  operands: readonly unknown[],
  named: Readonly<Record<string, unknown>>,
) => Promise<number>;
/** Turns an action into the function that commander calls. */
export type Run = (action: Action) => (...args: unknown[]) => Promise<void>;

/** The action that is the function `name` of a module, which is loaded when it runs: it gets the operands, then the flags. */
export function calls<M>(load: () => Promise<M>, name: string & keyof M): Action {
  return async (io, flags, operands) => {
    const command = (await load())[name] as (...given: unknown[]) => Promise<number>;
    return await command(io, ...operands, flags);
  };
}
