/**
 * A room with a reducer on the user's machine: the commands of a file replace a room's log. It does what a room's owner
 * does with a log, including timers, by the same code. No bus, no clock: the time is that of the commands, and every
 * run of the same file gives the same result.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { callData } from "../../brain/reducers/reducer_commands.ts";
import { objectMembers } from "../../brain/desk/json_text.ts";
import { CommandError, EXIT, printable } from "../terminal/exit.ts";
import { createReducer, type Run } from "../../brain/reducers/guest/reducer_guest.ts";
import { meterReducer } from "../../wasm/reducer/reducer_check.ts";
import { applyEntry, refused, type RoomAbout } from "../../brain/reducers/state/fold.ts";
import { digestOf, nextTimer, rememberedKey } from "../../brain/reducers/state/room_state.ts";
import type { LogEntry, Outcome, RoomState } from "../../brain/reducers/state/room_state.ts";
import { judge } from "../../wasm/reducer/schema/judge.ts";
import { type RoomSchema, schemaOf } from "../../wasm/reducer/schema/room_schema.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";

/** The time of a new room's first command without a time: the first moment of 2026. */
const FIRST_MS = 1_767_225_600_000;

/** Text without unpaired surrogates, which have no bytes that could identify them. */
const text = (most: number) =>
  z.string().max(most).refine((one) => one.isWellFormed(), "a text with half a character");

const Line = z.strictObject({
  command: text(256).min(1).optional(),
  /** Parsed from the text, as the bus does. */
  data: z.unknown().optional(),
  user: text(256).default("dev"),
  role: text(64).default("user"),
  id: text(256).default(""),
  claims: z.record(text(256), z.json()).default({}),
  /** Unix ms; may be before the previous line, as after a clock was set back. */
  at_ms: z.int().min(0).optional(),
  /** Instead: the time after the previous line. */
  after_ms: z.int().min(0).optional(),
});

/** One line of the file. */
export interface CommandLine {
  /** Number of the line, from 1. */
  readonly line: number;
  readonly at_ms: number;
  /** Absent: only time passes. */
  readonly command: string | undefined;
  readonly data: Uint8Array;
  readonly user_id: string;
  readonly role: string;
  readonly id: string;
  readonly claims: Readonly<Record<string, string>>;
}

/** The bytes of a command's data, as the bus would take them from the line; a string is the error. */
function dataIn(json: string): Uint8Array | string {
  try {
    return callData(objectMembers(json).get("data"));
  } catch (error) {
    if (error instanceof ArqonError || error instanceof SyntaxError) return error.message;
    throw error;
  }
}

function problem(source: string, line: number, what: string): CommandError {
  const example = `{"command":"add","data":5,"user":"ann","after_ms":1000}`;
  const message = `${source}, line ${line}: ${printable(what)}`;
  return new CommandError(message, EXIT.usage, `expected a line such as ${example}`);
}

/** Parses lines in order; each needs the time of the previous one, the first that of the room. */
export function createLineReader(
  source: string,
  room_ms: number,
): (line: number, json: string) => CommandLine {
  let before_ms = room_ms === 0 ? FIRST_MS : room_ms;
  return (line, json) => {
    const parsed = Line.safeParse(JSON.parse(json));
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const path = issue?.path.join(".") ?? "";
      throw problem(source, line, `${path === "" ? "" : `${path}: `}${issue?.message}`);
    }
    const { command, user, role, id, claims, at_ms, after_ms } = parsed.data;
    if (at_ms !== undefined && after_ms !== undefined) {
      throw problem(source, line, "at_ms and after_ms; a line has one of them");
    }
    before_ms = at_ms ?? before_ms + (after_ms ?? 0);
    if (!Number.isSafeInteger(before_ms)) throw problem(source, line, "the time is too late");
    const bytes = dataIn(json);
    if (typeof bytes === "string") throw problem(source, line, bytes);
    const texts = Object.entries(claims).map(([name, value]) => [
      name,
      (typeof value === "string" ? value : JSON.stringify(value)).toWellFormed(),
    ]);
    return {
      line,
      at_ms: before_ms,
      command,
      data: bytes,
      user_id: user,
      role,
      id,
      claims: Object.fromEntries(texts),
    };
  };
}

/** Most timers that run before one command: more means a reducer that wakes itself endlessly. */
const TIMERS_MOST = 100_000;
const SEED_BYTES = 16;

/** The result of one entry. */
export interface RunStep {
  readonly entry: LogEntry;
  /** Line of the command in its file; undefined for a timer. */
  readonly line: number | undefined;
  readonly command: string;
  readonly outcome: Outcome;
  /** Absent for a repetition, which does not reach the reducer. */
  readonly run: Run | undefined;
  readonly state: RoomState;
  /** True: the schema forbids it, and it becomes no entry. */
  readonly forbidden?: true;
}

/** A module that can be applied. */
export interface Applier {
  /** The state after the entries applied so far. */
  readonly state: RoomState;
  /** The commands that users may send; undefined: all. */
  readonly schema: RoomSchema | undefined;
  apply(entry: LogEntry): Omit<RunStep, "entry" | "line" | "command">;
}

/** The options of an applier. */
export interface ApplierOptions {
  readonly room: RoomAbout;
  readonly fuel_limit: number;
  readonly memory_limit_pages: number;
}

/** More timers were due at once than a run allows. */
export class TooManyTimers extends Error {
  override readonly name = "TooManyTimers";
}

/** Prepares a module. Rejects with `PolicyModuleError` when it is no reducer. */
export async function createApplier(
  bytes: Uint8Array,
  options: ApplierOptions,
  begin: RoomState,
): Promise<Applier> {
  const metered = meterReducer(bytes, options.memory_limit_pages);
  const guest = createReducer(
    await WebAssembly.compile(metered.bytes),
    metered,
    options.fuel_limit,
  );
  let state = begin;
  return {
    schema: schemaOf(bytes),
    get state() {
      return state;
    },
    apply(entry) {
      let run: Run | undefined;
      const step = applyEntry(state, entry, (draft) => {
        run = guest.run(draft);
        return run.verdict;
      }, options.room);
      state = step.state;
      return { ...step, run };
    },
  };
}

/** The fuel of a step's command, and of the host around it. */
export const fuelOf = ({ run }: Pick<RunStep, "run">) => ({
  own: (run?.units ?? 0) / UNITS_PER_FUEL,
  host: (run?.host_units ?? 0) / UNITS_PER_FUEL,
});

/** The random seed of an entry, derived from the seed of the run. */
function seedOf(seed: number, offset: number): Uint8Array {
  return digestOf(new TextEncoder().encode(`${seed} ${offset}`)).subarray(0, SEED_BYTES);
}

/** Turns a line, and the timers due before it, into entries, and applies each. */
export function* runLine(applier: Applier, about: CommandLine, seed: number): Generator<RunStep> {
  const { at_ms, line, command } = about;
  for (let ran = 0;; ran++) {
    const due = nextTimer(applier.state);
    if (due === undefined || due.at_ms > at_ms) break;
    if (ran === TIMERS_MOST) {
      throw new TooManyTimers(`more than ${TIMERS_MOST} timers are due before line ${line}`);
    }
    yield runTimer(applier, due.key, due.at_ms, seed);
  }
  if (command === undefined) return;
  const { id, user_id, role, claims } = about;
  const { state, schema } = applier;
  const offset = state.offset + 1;
  const judged = schema && judge(schema, command, about.data);
  const data = judged !== undefined && "data" in judged ? judged.data : about.data;
  const entry: LogEntry = {
    kind: "command",
    offset,
    time_ms: at_ms,
    seed: seedOf(seed, offset),
    command,
    data,
    id,
    user_id,
    role,
    claims,
  };
  const is_known = id !== "" && state.remembered.has(rememberedKey(user_id, id));
  if (judged === undefined || "data" in judged || is_known) {
    yield { entry, line, command, ...applier.apply(entry) };
    return;
  }
  const outcome = refused(judged.code, judged.reason);
  yield { entry, line, command, outcome, run: undefined, state, forbidden: true };
}

function runTimer(applier: Applier, key: string, time_ms: number, seed: number): RunStep {
  const command = applier.state.timers.get(key)?.command ?? "";
  const offset = applier.state.offset + 1;
  const entry: LogEntry = { kind: "timer", offset, time_ms, seed: seedOf(seed, offset), key };
  return { entry, line: undefined, command, ...applier.apply(entry) };
}
