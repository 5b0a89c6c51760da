/**
 * The next entries of a room: due timers, or calls, as many as one message of its log takes. First come, first served:
 * a room that is busy with timers answers its calls, too.
 */
import type { Env } from "../../../shared/env.ts";
import { ENTRY_BYTES } from "../log/batch.ts";
import { copyOf } from "../state/canonical.ts";
import type { Asked, LogEntry, MigrateEntry, TimerAt } from "../state/room_state.ts";
import type { Applied, RoomStanding } from "../thread/protocol.ts";
import { ArqonError, nestsTooDeep } from "@arqon/proto";
import { judge } from "../../../wasm/reducer/schema/judge.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { LoadedRoom } from "./loaded_room.ts";
import type { ProgramChoice } from "./program_switch.ts";
import { contentOf } from "./value_changes.ts";

/** Most entries of one message of the log, and its approximate bytes; a single entry may be larger. */
const BATCH_ENTRIES = 256;
const BATCH_BYTES = 262_144;
const SEED_BYTES = 16;

/** Entries to apply, and their calls: none for timers. */
export interface Taken {
  readonly entries: readonly LogEntry[];
  readonly calls: readonly WaitingCall[];
}

/** A call in the queue of its room's owner. */
export interface ArrivedCall extends WaitingCall {
  /** Monotonic ms. */
  readonly arrived_ms: number;
  /** The id of the program whose schema has admitted it; undefined: not checked. */
  readonly judged?: string;
}

/** The room's position, and the source of its entries' times and seeds. */
export interface TakenAt extends Pick<Env, "random"> {
  readonly standing: RoomStanding;
  /** Unix ms by the clock of the log, and its lead over the monotonic clock. */
  readonly now_ms: number;
  readonly ahead_ms: number;
  /** How many timers may run; 0 if another Brain runs them. */
  readonly timers_max: number;
}

/** The common fields of an entry; `at` counts from 1. */
function placed({ standing }: TakenAt, now_ms: number, at: number, seed: Uint8Array) {
  // The time of a room never decreases.
  const time_ms = Math.max(standing.time_ms, Math.trunc(now_ms));
  return { offset: standing.offset + at, time_ms, seed };
}

/** The entry in which another program migrates the room. */
export function takeMigration(
  room: TakenAt,
  migration: Pick<MigrateEntry, "kind" | "from" | "deploy">,
): Taken {
  const seed = room.random(SEED_BYTES).slice();
  return { entries: [{ ...migration, ...placed(room, room.now_ms, 1, seed) }], calls: [] };
}

/** The first waiting calls, as many as one message takes. */
function firstOf(waiting: readonly ArrivedCall[], before_ms: number): ArrivedCall[] {
  const calls: ArrivedCall[] = [];
  let bytes = 0;
  for (const call of waiting) {
    bytes += ENTRY_BYTES + call.command.length + call.data.length + call.id.length;
    for (const name in call.claims) bytes += name.length + call.claims[name]!.length;
    if (calls.length > 0 && (calls.length === BATCH_ENTRIES || bytes > BATCH_BYTES)) break;
    if (call.arrived_ms >= before_ms) break;
    calls.push(call);
  }
  return calls;
}

/** Whether the room's first timer is due. */
export function isDue({ next, time_ms }: RoomStanding, now_ms: number): boolean {
  return next !== undefined && next.at_ms <= Math.max(time_ms, Math.trunc(now_ms));
}

/** The timers that are due before any waiting call, the first of them in any case. */
function timersOf(waiting: readonly ArrivedCall[], next: TimerAt, room: TakenAt): Taken {
  const { standing: { later, time_ms }, random, timers_max, now_ms, ahead_ms } = room;
  const before_ms = (waiting[0]?.arrived_ms ?? Infinity) + ahead_ms;
  const due_ms = Math.max(time_ms, Math.trunc(now_ms));
  const more = later.filter(({ at_ms }) => at_ms <= due_ms && at_ms <= before_ms);
  const timers = [next, ...more].slice(0, timers_max);
  const seeds = random(timers.length * SEED_BYTES);
  const entries = timers.map(({ key }, at): LogEntry => {
    const seed = copyOf(seeds, at * SEED_BYTES, SEED_BYTES);
    return { kind: "timer", ...placed(room, now_ms, at + 1, seed), key };
  });
  return { entries, calls: [] };
}

/** The next entries; undefined: none. */
export function takeNext(waiting: readonly ArrivedCall[], room: TakenAt): Taken | undefined {
  const { standing, random, timers_max, now_ms, ahead_ms } = room;
  const { next } = standing;
  const is_due = timers_max > 0 && next !== undefined && isDue(standing, now_ms);
  const calls = firstOf(waiting, is_due ? next.at_ms - ahead_ms : Infinity);
  if (calls.length > 0) {
    const seeds = random(calls.length * SEED_BYTES);
    // For the room the call's time is before the timer's, even if the clock says later.
    const call_ms = is_due ? Math.min(now_ms, next.at_ms - 1) : now_ms;
    const entries = calls.map(({ command, data, id, user_id, role, claims }, at): LogEntry => {
      const seed = copyOf(seeds, at * SEED_BYTES, SEED_BYTES);
      const { offset, time_ms } = placed(room, call_ms, at + 1, seed);
      return { kind: "command", offset, time_ms, seed, command, data, id, user_id, role, claims };
    });
    return { entries, calls };
  }
  return is_due ? timersOf(waiting, next, room) : undefined;
}

// A call that the schema forbids is in no log, so no replay checks it again. A repetition of a remembered call gets
// the recorded outcome, whatever the schema says now.

interface Forbidden {
  readonly call: ArrivedCall;
  readonly refusal: ArqonError;
}

/** Checks each call against the schema; `calls` has all of them, `forbidden` the refused ones, not answered yet. */
function judgeAll(
  waiting: readonly ArrivedCall[],
  { id, schema }: RunnableProgram,
): { readonly calls: readonly ArrivedCall[]; readonly forbidden: readonly Forbidden[] } {
  const forbidden: Forbidden[] = [];
  const calls = waiting.map((call) => {
    if (schema === undefined || call.judged === id) return call;
    const judged = judge(schema, call.command, call.data);
    if ("data" in judged) return { ...call, data: judged.data, judged: id };
    const { code, reason } = judged;
    const passed = { ...call, judged: id };
    forbidden.push({ call: passed, refusal: new ArqonError("call-rejected", reason, { code }) });
    return passed;
  });
  return { calls, forbidden };
}

/**
 * Answers calls that the program's schema forbids and removes them from the queue. Returns the next ones as the program
 * gets them, as many as one message takes: judging all that wait would hold up the process. Rejects as the thread does.
 */
export async function judgeCalls(
  waiting: ArrivedCall[],
  { at, parts: { host, metrics }, handle }: LoadedRoom,
  program: RunnableProgram,
  { owns }: Pick<ProgramChoice, "owns">,
): Promise<readonly ArrivedCall[]> {
  for (;;) {
    const { calls, forbidden } = judgeAll(firstOf(waiting, Infinity), program);
    if (forbidden.length === 0) {
      waiting.splice(0, calls.length, ...calls);
      return calls;
    }
    const commands = forbidden.map(({ call: { user_id, id } }) => [user_id, id] as const);
    const remembered = await host.remembers(handle, commands);
    const gone = new Set<ArrivedCall>();
    for (const [index, { call, refusal }] of forbidden.entries()) {
      if (call.id !== "" && remembered[index]) continue;
      gone.add(call);
      // A Brain that no longer owns the room does not know what it remembers.
      if (owns(at)) metrics.forbidden.inc();
      call.answer(owns(at) ? refusal : new ArqonError("brain-unavailable"));
    }
    const passed = calls.filter((call) => !gone.has(call));
    waiting.splice(0, calls.length, ...passed);
    if (passed.length > 0 || waiting.length === 0) return passed;
  }
}

/** A call in the queue of its room. */
export interface WaitingCall extends Asked {
  /** When the caller stops waiting, monotonic ms. */
  readonly deadline_ms: number;
  /** Called once, with the result's JSON or the refusal. Must not throw. */
  readonly answer: (outcome: string | ArqonError) => void;
}

/**
 * A reducer's answer as JSON: JSON unchanged, other text or JSON that nests too deep as a string, other bytes as
 * base64.
 */
function answerText(bytes: Uint8Array): string {
  if (bytes.length === 0) return "null";
  const { type, text } = contentOf(bytes);
  if (text === undefined) return JSON.stringify({ base64: bytes.toBase64() });
  const is_json = type === "application/json" && !nestsTooDeep(text);
  return is_json ? text.trim() : JSON.stringify(text);
}

/** The sender's answer for an applied call. */
export function answerTo(applied: Applied): string | ArqonError {
  const { kind, code, reason, offset, repeats, detail } = applied;
  switch (kind) {
    case "applied": {
      const visible = applied.changes.length === 0 ? "" : `,"visible":true`;
      const repeated = repeats === undefined ? "" : `,"repeats":${repeats}`;
      return `{"entry":${offset}${repeated}${visible},"answer":${answerText(applied.answer)}}`;
    }
    case "rejected":
      return new ArqonError("call-rejected", reason, { code });
    case "fault":
      return new ArqonError("call-rejected", `${reason}${detail && `: ${detail}`}`, { code });
    default:
      return kind satisfies never;
  }
}

/** The calls that have not expired; the others are answered with a timeout. */
export function inTime<Call extends WaitingCall>(
  waiting: Call[],
  monotonic_ms: number,
  timeout_ms: number,
): Call[] {
  const late = waiting.filter(({ deadline_ms }) => deadline_ms <= monotonic_ms);
  if (late.length === 0) return waiting;
  const timeout = new ArqonError("command-timeout", `${timeout_ms} ms`);
  for (const { answer } of late) answer(timeout);
  return waiting.filter(({ deadline_ms }) => deadline_ms > monotonic_ms);
}
