/**
 * The parts that command definitions share: parsers of options, the options of every command that talks to a bus, and
 * how a command is run. It knows commander, and no command.
 */
import { BUS_OPTIONS } from "../../completion/command_tree.ts";
import { type Command, InvalidArgumentError, type Option } from "commander";
import { idProblem, isRoomPattern } from "@arqon/proto";
import { DEV_TENANT } from "../../bus/dev_bus.ts";
import { parseSeconds } from "../../bus/token.ts";
import { type Action, rows, type Traits } from "./define.ts";
import type { Ended, Io } from "../../terminal/io.ts";

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
 * Parses a percentage, `10%` or `10`, as a fraction. A bare number between 0 and 1 is refused: it may be meant as a
 * fraction, which files use.
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

/** Parses a room, or a prefix with `*`. */
export function roomPattern(text: string): string {
  if (isRoomPattern(text)) return text;
  throw new InvalidArgumentError("Expected a room, or a prefix of one with *: 'chat-*'.");
}

/** Reads a JSON text. */
export function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError("Expected JSON.");
  }
}

/** A parser of texts that match; `else_text` says what was expected. */
export function matching(pattern: RegExp, else_text: string): (text: string) => string {
  return (text) => {
    if (pattern.test(text)) return text;
    throw new InvalidArgumentError(else_text);
  };
}

/** A parser of whole numbers from 0 on; `what` names the number in errors. */
export function whole(what: string, most: number = 1e15 - 1): (text: string) => number {
  return (text) => {
    const number = /^\d+$/.test(text) ? Number(text) : NaN;
    if (number <= most) return number;
    throw new InvalidArgumentError(`Expected ${what}.`);
  };
}

/** Reads an offset in a durable room; 0 is before the first message. */
export const offset = whole(
  "an offset, as --json shows it: 0 or a whole number",
  Number.MAX_SAFE_INTEGER,
);

/** Reads the epoch of an offset. */
export const epoch = matching(/^[A-Za-z0-9_-]{1,64}$/, "Expected an epoch, as --json shows it.");

/** Parses a rate: `500` or `500/s`. */
function rate(text: string): number {
  return positive("a number above 0, as 500 or 500/s", false, 1e9)(text.replace(/\/s$/, ""));
}

/** Reads a room id. */
export const room = id("room");
/** Reads the id of a tenant. */
export const tenant = id("tenant");

/** A parser of the time that an option takes: `10m`, `7d` or seconds. */
export const span = (text: string, option: string): number => parseSeconds(option, text);

/** A parser of counts. */
export const count = positive("a whole number above 0", true, 2 ** 53);

/** The options of a command that publishes many messages. */
export const PACE = rows`
    --rate <n[/s]>  at most n messages a second ${rate}
    --window <n>  the most unacknowledged messages;
      1 keeps their order even when the bus refuses one for now (429, 503)
      ${positive("a whole number from 1 to 1000", true, 1_000)} ${{ is: 256 }}`;

/** Reads an address of HTTP. */
export function httpUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw new InvalidArgumentError("Expected a URL such as http://127.0.0.1:4002.");
}

const SUBJECT_TENANT_TEXT =
  "tenant (default: the one that the subject names, else the context's, else default)";

const OF_BUS: Traits = { heading: BUS_OPTIONS };

/** The options of `ConnectionFlags`. */
export const BUS = rows`
    --context <name>  the bus of this context; dev: the running development bus ${OF_BUS}
    --url <url>  the bus, for example ws://127.0.0.1:4000 (default: see arq context --help) ${OF_BUS}
    --ops-url <url>  its ops listener, for example http://127.0.0.1:4001 ${httpUrl} ${OF_BUS}
    --admin-url <url>  its admin listener, for example http://127.0.0.1:4002 ${httpUrl} ${OF_BUS}
    --token <jwt>  the token (default: the context's, or one made with the dev bus's key) ${OF_BUS}
    --token-file <file>  read the token from a file; keeps it out of the process list ${OF_BUS}`;

/** The option of `OpsTokenFlags`. */
export const OPS_TOKEN = rows`
    --ops-token-file <file>  read the token of the ops listener from a file, if it needs one ${OF_BUS}`;

/** The bus, and `--json` of a command that prints an answer of the bus. */
export const ANSWER = rows`
    --json  print the bus's answer as JSON
    ${BUS}`;

/** The `--tenant` of a command that is about one tenant. */
export const TENANT = rows`
    --tenant <id>  tenant ${tenant} ${{ is: DEV_TENANT }}`;

/** The `--tenant` of a command whose subject may name the tenant. */
export const SUBJECT_TENANT = rows`
    --tenant <id>  ${SUBJECT_TENANT_TEXT} ${tenant}`;

/** Moves the options of the bus after a command's own; the definitions have them first. */
export function busOptionsLast(command: Command): void {
  const rank = (option: Option) => option.helpGroupHeading === undefined ? 0 : 1;
  (command.options as Option[]).sort((one, other) => rank(one) - rank(other));
}

/**
 * When the context's tenant replaces a missing `--tenant`: always, or only if the subject names none; undefined: never.
 */
function tenantWanted(command: Command): "always" | "else" | undefined {
  if (command.getOptionValueSource("tenant") === "default") return "always";
  const option = command.options.find(({ long }) => long === "--tenant");
  const is_left_out = command.getOptionValue("tenant") === undefined;
  return option?.description === SUBJECT_TENANT_TEXT && is_left_out ? "else" : undefined;
}

/**
 * The options with which a command runs. `--context` may also precede the command. The context's tenant replaces a
 * missing `--tenant`; if the subject may name a tenant, it is `ownTenant`.
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

/** The action that is the function `name` of a module, loaded when it runs: it gets the operands, then the flags. */
export function calls<M>(load: () => Promise<M>, name: string & keyof M): Action {
  return async (io, flags, operands) => {
    const command = (await load())[name] as (...given: unknown[]) => Promise<Ended>;
    return await command(io, ...operands, flags);
  };
}
