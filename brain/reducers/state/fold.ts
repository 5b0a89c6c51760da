/**
 * Applies one entry of a room's log to a state. Deterministic: the same state, entry and reducer give the same next
 * state and outcome on every machine. Pure; the reducer is an argument.
 */
import { CanonicalWriter, latinOf } from "./canonical.ts";
import { digestOf, rememberedBytes, rememberedKey, valuesBehind } from "./room_state.ts";
import type {
  Answered,
  Asked,
  LogEntry,
  Outcome,
  ReducerFault,
  RoomBounds,
  RoomEvent,
  RoomState,
  Timer,
  Tree,
  Values,
} from "./room_state.ts";
import { utf8Size } from "@arqon/proto";

// A command reads the state before it and its own writes, within the bounds of the room. Nothing takes effect before
// it is committed.

/** The bus's own events to subscribers. Those of a room have no sender either, so clients would believe them. */
const OF_THE_BUS = /^(?:PRESENCE_UPDATE|PRESENCE_LEAVE|ROOM_UPDATE)$/;

/** A command exceeded a bound of the room; the message names the bound. */
export class BoundsError extends Error {
  override readonly name = "BoundsError";
}

/** The room of a draft. */
export interface RoomAbout {
  readonly room_id: string;
  readonly bounds: RoomBounds;
  /**
   * Maps that only the caller has: they are changed in place, and earlier states become invalid. Absent: every state is
   * immutable.
   */
  readonly owned?: WeakSet<object>;
}

/** Most bytes of an event's type, as for every message (docs/protocol.md, "Limits"). */
const TYPE_BYTES_MAX = 256;
const TO = /^(?:|user:.+|role:.+)$/s;

function within(what: string, is: number, most: number): void {
  if (is > most) throw new BoundsError(`${what}: ${is}; at most ${most}`);
}

/** One running command. */
export class Draft {
  readonly room: RoomAbout;
  readonly asked: Asked;
  readonly kind: LogEntry["kind"];
  readonly offset: number;
  readonly time_ms: number;
  readonly changes = new Map<string, Uint8Array | null>();
  readonly scheduled = new Map<string, Timer | null>();
  readonly events: RoomEvent[] = [];
  reply: Uint8Array = new Uint8Array();
  values: Values;
  size_bytes: number;
  timers: Tree<string, Timer>;
  readonly #seed: Uint8Array;
  readonly #before: RoomState;
  #event_bytes = 0;
  #drawn = 0;

  constructor(
    state: RoomState,
    { kind, offset, seed }: Pick<LogEntry, "kind" | "offset" | "seed">,
    time_ms: number,
    asked: Asked,
    room: RoomAbout,
  ) {
    this.room = room;
    this.asked = asked;
    this.kind = kind;
    this.offset = offset;
    this.time_ms = time_ms;
    this.#seed = seed;
    this.#before = state;
    this.values = state.values;
    this.size_bytes = state.size_bytes;
    this.timers = state.timers;
  }

  /** The value of a key as the command sees it. */
  read(key: Uint8Array): Uint8Array | undefined {
    return this.values.get(latinOf(key));
  }

  /** Sets a value; undefined deletes it. */
  write(key_bytes: Uint8Array, value: Uint8Array | undefined): void {
    const { bounds } = this.room;
    within("bytes of a key", key_bytes.length, bounds.key_bytes);
    if (key_bytes.length === 0) throw new BoundsError("bytes of a key: 0; at least 1");
    within("bytes of a value", value?.length ?? 0, bounds.value_bytes);
    const key = latinOf(key_bytes);
    const before = this.values.get(key);
    if (value === undefined && before === undefined) return;
    const added = value === undefined ? 0 : key.length + value.length;
    const removed = before === undefined ? 0 : key.length + before.length;
    const size_bytes = this.size_bytes + added - removed;
    // A write that shrinks the room exceeds no bound.
    if (added > removed) within("bytes of all values", size_bytes, bounds.state_bytes);
    if (before === undefined) within("values", this.values.size + 1, bounds.keys);
    if (this.values === this.#before.values) this.values = this.values.clone();
    if (value === undefined) this.values.delete(key);
    else this.values.set(key, value);
    this.size_bytes = size_bytes;
    this.changes.set(key, value ?? null);
  }

  /** The values whose keys begin with `prefix` and are above `after`, in order. */
  scan(prefix: Uint8Array, after: Uint8Array): Iterable<readonly [string, Uint8Array]> {
    return valuesBehind(this.values, latinOf(prefix), latinOf(after));
  }

  /** Adds an event; receivers get events in this order. */
  emit(event: RoomEvent): void {
    const { events, event_bytes } = this.room.bounds;
    within("events of a command", this.events.length + 1, events);
    const { type, data, to } = event;
    this.#event_bytes += utf8Size(type) + utf8Size(to) + data.length;
    within("bytes of a command's events", this.#event_bytes, event_bytes);
    if (type === "") throw new BoundsError("type of an event: empty");
    if (OF_THE_BUS.test(type)) throw new BoundsError(`type of an event: ${type} is the bus's own`);
    // No envelope may have more: receivers would refuse it.
    within("bytes of an event's type", utf8Size(type), TYPE_BYTES_MAX);
    if (!TO.test(to)) {
      throw new BoundsError(`recipient of an event: expected "", "user:ID" or "role:NAME"`);
    }
    this.events.push(event);
  }

  /** Sets the answer for the sender; the last one counts. */
  answer(bytes: Uint8Array): void {
    within("bytes of an answer", bytes.length, this.room.bounds.answer_bytes);
    this.reply = bytes;
  }

  /** Schedules a command; replaces the one with the same key. */
  schedule(key: string, timer: Timer): void {
    const { timers, timer_bytes, least_delay_ms } = this.room.bounds;
    const size_bytes = utf8Size(key) + utf8Size(timer.command) + timer.data.length;
    within("bytes of a scheduled command", size_bytes, timer_bytes);
    if (timer.command === "") throw new BoundsError("name of a scheduled command: empty");
    const least_ms = this.time_ms + least_delay_ms;
    within("time of a scheduled command", timer.at_ms, Number.MAX_SAFE_INTEGER);
    if (!Number.isSafeInteger(timer.at_ms) || timer.at_ms < least_ms) {
      throw new BoundsError(
        `time of a scheduled command: ${timer.at_ms}; at least ${least_ms}, which is ` +
          `${least_delay_ms} ms after this one's`,
      );
    }
    if (!this.timers.has(key)) within("scheduled commands", this.timers.size + 1, timers);
    this.#ownTimers().set(key, timer);
    this.scheduled.set(key, timer);
  }

  unschedule(key: string): void {
    if (!this.timers.has(key)) return;
    this.#ownTimers().delete(key);
    this.scheduled.set(key, null);
  }

  #ownTimers(): Tree<string, Timer> {
    if (this.timers === this.#before.timers) this.timers = this.timers.clone();
    return this.timers;
  }

  /** The next 64 random bits; the same whenever the entry is applied. */
  random(): bigint {
    const bytes = new CanonicalWriter().raw(this.#seed).i64(this.offset).u32(this.#drawn++).done();
    const digest = digestOf(bytes);
    return new DataView(digest.buffer, digest.byteOffset).getBigInt64(0, true);
  }
}

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
/** Of an outcome that changes nothing. */
const UNCHANGED: Omit<Outcome, "kind" | "code" | "reason"> = {
  answer: NOTHING,
  fault: undefined,
  detail: "",
  repeats: undefined,
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

/** The outcome of a command that was rejected. */
export const refused = (code: number, reason: string): Outcome => ({
  ...UNCHANGED,
  kind: "rejected",
  code,
  reason,
});

function failed(fault: ReducerFault, detail: string): Outcome {
  const code = FAULT_CODE[fault];
  return { ...UNCHANGED, kind: "fault", code, reason: `reducer-${fault}`, fault, detail };
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
    const { offset: repeats, ...same } = known;
    return { state, outcome: { ...UNCHANGED, ...same, repeats } };
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
