/**
 * Applies one entry of a room's log to a state. Deterministic: the same state, entry and reducer give the same next
 * state and outcome on every machine. Pure; the reducer is an argument.
 */
import { CanonicalWriter } from "./canonical.ts";
import { BoundsError, Draft, type RoomAbout } from "./draft.ts";
import type { Asked, LogEntry, Outcome, ReducerFault } from "./entry.ts";
import {
  type Answered,
  digestOf,
  rememberedBytes,
  rememberedKey,
  type RoomState,
  type Tree,
} from "./room_state.ts";

/** The verdict of a reducer. Its changes take effect only if it applies the command. */
export type Verdict =
  | { readonly kind: "applied" }
  | { readonly kind: "rejected"; readonly code: number; readonly reason: string }
  | { readonly kind: "fault"; readonly fault: ReducerFault; readonly detail: string };

/** Applies a command to a draft. May throw `BoundsError`, and nothing else. */
export type Reducer = (draft: Draft) => Verdict;

/** The next state, and the outcome of the entry that led to it. */
export interface Step {
  readonly state: RoomState;
  readonly outcome: Outcome;
}

const NOTHING = new Uint8Array();
const UNCHANGED: Pick<Outcome, "events" | "changes" | "scheduled"> = {
  events: [],
  changes: new Map(),
  scheduled: new Map(),
};
/** The codes for a sender whose command failed: too large for the room, or no verdict. */
const FAULT_CODE: Readonly<Record<ReducerFault, number>> = {
  bounds: 413,
  fuel: 503,
  trap: 503,
  memory: 503,
  abi: 503,
};

function refused(code: number, reason: string): Outcome {
  return {
    kind: "rejected",
    code,
    reason,
    answer: NOTHING,
    fault: undefined,
    detail: "",
    repeats: undefined,
    ...UNCHANGED,
  };
}

function failed(fault: ReducerFault, detail: string): Outcome {
  return {
    kind: "fault",
    code: FAULT_CODE[fault],
    reason: `reducer-${fault}`,
    answer: NOTHING,
    fault,
    detail,
    repeats: undefined,
    ...UNCHANGED,
  };
}

/** The command of an entry; undefined: a timer that is not due, or was cancelled. */
function askedBy(state: RoomState, entry: LogEntry, time_ms: number): Asked | undefined {
  switch (entry.kind) {
    case "command":
      return entry;
    case "timer": {
      const timer = state.timers.get(entry.key);
      if (timer === undefined || timer.at_ms > time_ms) return undefined;
      const { command, data } = timer;
      return { command, data, id: "", user_id: "", role: "timer", claims: {} };
    }
    case "migrate": {
      const data = new TextEncoder().encode(entry.from);
      return { command: "migrate", data, id: "", user_id: "", role: "deploy", claims: {} };
    }
    default:
      return entry satisfies never;
  }
}

function verdictOf(reducer: Reducer, draft: Draft): Verdict {
  try {
    return reducer(draft);
  } catch (error) {
    if (error instanceof BoundsError) {
      return { kind: "fault", fault: "bounds", detail: error.message };
    }
    throw error;
  }
}

/** A map that may be changed: a copy, or the same one if nobody else has it. */
function own<Key, Value>(map: Tree<Key, Value>, { owned }: RoomAbout): Tree<Key, Value> {
  if (owned?.has(map)) return map;
  const copy = map.clone();
  owned?.add(copy);
  return copy;
}

/** The state with the answer to a command; the oldest answers go if there are too many. */
function remember(state: RoomState, room: RoomAbout, key: string, answered: Answered): RoomState {
  const { kind, code, reason, answer } = answered;
  const { bounds } = room;
  const remembered = own(state.remembered, room);
  const remembered_at = own(state.remembered_at, room);
  remembered.set(key, { kind, code, reason, answer, offset: state.offset });
  remembered_at.set(state.offset, key);
  let bytes = state.remembered_bytes + rememberedBytes(key, answered);
  while (remembered.size > bounds.remembered || bytes > bounds.remembered_bytes) {
    const oldest = remembered_at.minKey();
    if (oldest === undefined) break;
    const gone = remembered_at.get(oldest)!;
    bytes -= rememberedBytes(gone, remembered.get(gone)!);
    remembered.delete(gone);
    remembered_at.delete(oldest);
  }
  return { ...state, remembered, remembered_at, remembered_bytes: bytes };
}

/** Writes the command of an entry, with its claims in this order. */
export function writeAsked(
  writer: CanonicalWriter,
  entry: LogEntry,
  claims: readonly (readonly [name: string, value: string])[],
): void {
  switch (entry.kind) {
    case "command":
      writer.text(entry.command).bytes(entry.data).text(entry.id);
      writer.text(entry.user_id).text(entry.role).u32(claims.length);
      for (const [name, value] of claims) writer.text(name).text(value);
      break;
    case "timer":
      writer.text(entry.key);
      break;
    case "migrate":
      writer.text(entry.from).i64(entry.deploy);
      break;
    default:
      entry satisfies never;
  }
}

const chained = new CanonicalWriter();

/** The digest after an entry: of the command and its outcome, without `detail`. */
function nextChain(before: Uint8Array, entry: LogEntry, time_ms: number, outcome: Outcome) {
  const writer = chained.clear().raw(before).i64(entry.offset).i64(time_ms).bytes(entry.seed);
  writer.text(entry.kind);
  writeAsked(
    writer,
    entry,
    entry.kind === "command" ? Object.entries(entry.claims).sort(byKey) : [],
  );
  const { kind, code, reason, answer, repeats = 0, events } = outcome;
  writer.text(kind).u32(code).text(reason).bytes(answer).i64(repeats).u32(events.length);
  for (const { type, data, to } of events) writer.text(type).bytes(data).text(to);
  writeChanges(writer, outcome);
  return digestOf(writer.done());
}

const byKey = ([one]: readonly [string, unknown], [other]: readonly [string, unknown]) =>
  one < other ? -1 : 1;

/** Writes the effects of a command, in the order of the keys. */
function writeChanges(writer: CanonicalWriter, { changes, scheduled }: Outcome): void {
  writer.u32(changes.size);
  for (const [key, value] of [...changes].sort(byKey)) {
    writer.latin(key).u32(value === null ? 0 : 1).bytes(value ?? NOTHING);
  }
  writer.u32(scheduled.size);
  for (const [key, timer] of [...scheduled].sort(byKey)) {
    writer.text(key).u32(timer === null ? 0 : 1);
    if (timer !== null) writer.i64(timer.at_ms).text(timer.command).bytes(timer.data);
  }
}

/** The state without the timer that ran, whatever its outcome. */
function withoutTimer(state: RoomState, entry: LogEntry): RoomState {
  if (entry.kind !== "timer") return state;
  const timers = state.timers.clone();
  timers.delete(entry.key);
  return { ...state, timers };
}

function decide(state: RoomState, entry: LogEntry, reducer: Reducer, room: RoomAbout): Step {
  const call = askedBy(state, entry, state.time_ms);
  if (call === undefined) return { state, outcome: refused(409, "timer-not-due") };
  const key = call.id === "" ? undefined : rememberedKey(call.user_id, call.id);
  const known = key === undefined ? undefined : state.remembered.get(key);
  if (known !== undefined) {
    const { kind, code, reason, answer, offset: repeats } = known;
    const same = { kind, code, reason, answer, fault: undefined, detail: "", repeats };
    return { state, outcome: { ...same, ...UNCHANGED } };
  }
  const before = withoutTimer(state, entry);
  const draft = new Draft(before, entry, state.time_ms, call, room);
  const verdict = verdictOf(reducer, draft);
  const step = taken(before, draft, verdict);
  if (key === undefined) return step;
  return { ...step, state: remember(step.state, room, key, step.outcome) };
}

function taken(state: RoomState, draft: Draft, verdict: Verdict): Step {
  switch (verdict.kind) {
    case "applied": {
      const { values, size_bytes, timers, events, changes, scheduled, reply: answer } = draft;
      return {
        state: { ...state, values, size_bytes, timers },
        outcome: {
          kind: "applied",
          code: 0,
          reason: "",
          answer,
          fault: undefined,
          detail: "",
          repeats: undefined,
          events,
          changes,
          scheduled,
        },
      };
    }
    case "rejected":
      return { state, outcome: refused(verdict.code, verdict.reason) };
    case "fault":
      return { state, outcome: failed(verdict.fault, verdict.detail) };
    default:
      return verdict satisfies never;
  }
}

function textsOf(entry: LogEntry): readonly string[] {
  if (entry.kind === "timer") return [entry.key];
  if (entry.kind === "migrate") return [entry.from];
  const { command, id, user_id, role, claims } = entry;
  return [command, id, user_id, role, ...Object.entries(claims).flat()];
}

/**
 * Applies an entry. Throws `RangeError` if its offset is not above the state's, and `TypeError` for a lone surrogate,
 * which has no bytes to digest.
 */
export function applyEntry(
  state: RoomState,
  entry: LogEntry,
  reducer: Reducer,
  room: RoomAbout,
): Step {
  if (!Number.isSafeInteger(entry.offset) || entry.offset <= state.offset) {
    throw new RangeError(`entry ${entry.offset} is not behind entry ${state.offset}`);
  }
  if (!textsOf(entry).every((text) => text.isWellFormed())) {
    throw new TypeError(`entry ${entry.offset} has a text with half a character`);
  }
  // Whatever clocks do, the time of a room never decreases.
  const time_ms = Math.max(state.time_ms, entry.time_ms);
  const { state: next, outcome } = decide(
    { ...state, offset: entry.offset, time_ms },
    entry,
    reducer,
    room,
  );
  const chain = nextChain(state.chain, entry, time_ms, outcome);
  return { state: { ...next, chain }, outcome };
}
