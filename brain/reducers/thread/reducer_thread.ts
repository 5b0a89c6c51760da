/**
 * The worker that runs reducers: keeps the states of rooms and applies entries to them. It has no log and no clock: the
 * Brain decides which entries count. Fuel ends every command, so none runs forever.
 */
import { createReducer, type ReducerGuest, type Run, unitsOf } from "../guest/reducer_guest.ts";
import { applyEntry, type Draft } from "../state/fold.ts";
import {
  digestOf,
  emptyRoom,
  nextTimer,
  nextTimers,
  rememberedKey,
  tree,
} from "../state/room_state.ts";
import type { Outcome, RoomState } from "../state/room_state.ts";
import {
  decodeSnapshot,
  encodeSnapshot,
  packSnapshot,
  SnapshotError,
  unpackSnapshot,
} from "../state/snapshot.ts";
import { pageOf, shownChanges } from "../visible/shown.ts";
import { answerMessages } from "../../../shared/process/thread_answers.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { packApplied, unpackEntries } from "./protocol.ts";
import type {
  Applied,
  LoadedProgram,
  RoomStanding,
  ThreadAnswer,
  ThreadRequest,
} from "./protocol.ts";
import { ENTRY_UNITS, packUnits, pageUnits, stateUnits } from "./thread_price.ts";
import { changesPage, valuesPage } from "./shown_values.ts";
import { CanonicalWriter } from "../state/canonical.ts";
import { Buffer } from "node:buffer";

/** The largest snapshot that is compressed here; another thread takes the time for larger ones. */
const PACKED_HERE_BYTES = 65_536;
/** The most timers of a room that run together. */
const TIMERS_TOGETHER = 16;

interface Room {
  room_id: string;
  state: RoomState;
}

interface RestingRoom {
  readonly room_id: string;
  readonly resting: RestingState;
}

interface Loaded {
  readonly program: LoadedProgram;
  readonly guest: ReducerGuest;
}

/**
 * The most memory of instances that wait for a command. One tenant may deploy a thousand modules, each of which keeps
 * the memory that it has touched: beyond this, the least recently used ones go, and are paid when they are made again.
 */
const WAITING_BYTES = 134_217_728;

/** Units used for the running request. */
let spent = 0;
/** Units of instances that it made beside. */
let made_units = 0;
const programs = new Map<string, Loaded>();
const rooms = new Map<number, Room | RestingRoom>();
/** The guests whose instances wait, the least recently used first, and the bytes of their memories. */
const waiting = new Map<ReducerGuest, number>();
let waiting_bytes = 0;

function notWaiting(guest: ReducerGuest): void {
  waiting_bytes -= waiting.get(guest) ?? 0;
  waiting.delete(guest);
}

/** Runs a guest, and bounds the memory of those that wait. */
function runGuest(guest: ReducerGuest, draft: Draft): Run {
  const run = guest.run(draft);
  spent += unitsOf(run);
  made_units += run.made_units ?? 0;
  notWaiting(guest);
  if (guest.waiting_bytes === 0) return run;
  waiting.set(guest, guest.waiting_bytes);
  waiting_bytes += guest.waiting_bytes;
  for (const oldest of waiting.keys()) {
    if (waiting_bytes <= WAITING_BYTES || oldest === guest) break;
    oldest.release();
    notWaiting(oldest);
  }
  return run;
}

function load({ program, compiled, metered }: Extract<ThreadRequest, { kind: "program" }>): void {
  if (programs.has(program.id)) return;
  const guest = createReducer(compiled, metered, program.fuel_limit);
  programs.set(program.id, { program, guest });
}

function standingOf({ state }: Room): RoomStanding {
  const { offset, time_ms, chain, size_bytes, remembered_bytes } = state;
  const bytes = size_bytes + remembered_bytes;
  const [next, ...later] = nextTimers(state, TIMERS_TOGETHER);
  return { offset, time_ms, chain: chain.toHex(), bytes, next, later };
}

function apply(
  room: Room,
  { program: { bounds }, guest }: Loaded,
  { entries, shown, turn_fuel, may_stop }: Extract<ThreadRequest, { kind: "apply" }>,
): Uint8Array {
  const applied: Applied[] = [];
  // States between two entries of a request are visible to nobody.
  const about = { room_id: room.room_id, bounds, owned: new WeakSet() };
  for (const entry of unpackEntries(entries)) {
    const is_timer = may_stop && entry.kind === "timer";
    if (is_timer && applied.length > 0 && nextTimer(room.state)?.key !== entry.key) break;
    let run: Run | undefined;
    const { state, outcome } = applyEntry(room.state, entry, (draft) => {
      run = runGuest(guest, draft);
      return run.verdict;
    }, about);
    room.state = state;
    const { changes: all, scheduled: _scheduled, ...head } = outcome;
    const { offset, time_ms } = state;
    const changes = shownChanges(all, shown);
    applied.push({ ...head, offset, time_ms, changes, logs: run?.logs ?? [] });
    spent += ENTRY_UNITS;
    if (spent > turn_fuel * UNITS_PER_FUEL || is_timer && outcome.kind === "fault") break;
  }
  return packApplied(applied);
}

type Reply = Omit<Exclude<ThreadAnswer, { failed: string }>, "id" | "units" | "made_units">;
const NOTHING: Reply = {};

function programOf(id: string): Loaded {
  const loaded = programs.get(id);
  if (loaded === undefined) throw new Error("the program is not loaded");
  return loaded;
}

function roomOf(handle: number): Room {
  const room = rooms.get(handle);
  if (room === undefined) throw new Error("the room is not open");
  if ("state" in room) return room;
  const awake = { room_id: room.room_id, state: awakeState(room.resting) };
  spent += stateUnits(awake.state);
  rooms.set(handle, awake);
  return awake;
}

function rest(handle: number): void {
  const room = rooms.get(handle);
  if (room === undefined || "resting" in room) return;
  spent += stateUnits(room.state);
  const resting = restingState(room.state);
  if (resting !== undefined) rooms.set(handle, { room_id: room.room_id, resting });
}

function snapshot(handle: number): Uint8Array {
  const room = rooms.get(handle);
  const is_resting = room !== undefined && "resting" in room;
  if (is_resting) return snapshotOf(room.resting);
  const { state } = roomOf(handle);
  spent += stateUnits(state);
  return encodeSnapshot(state);
}

function show(
  room: Room,
  { entry, program, options }: Extract<ThreadRequest, { kind: "show" }>,
): Reply {
  const { state: before } = room;
  let outcome: Outcome | undefined;
  if (entry !== undefined) {
    const { program: { bounds }, guest } = programOf(program);
    const about = { room_id: room.room_id, bounds };
    spent += ENTRY_UNITS;
    const step = applyEntry(before, entry, (draft) => runGuest(guest, draft).verdict, about);
    ({ state: room.state, outcome } = step);
  }
  const { state } = room;
  const shown = {
    ...valuesPage(state, options),
    keys: state.values.size,
    state_bytes: state.size_bytes,
    timers: state.timers.size,
    changes: changesPage(before, outcome?.changes ?? new Map()),
    outcome,
  };
  return { standing: standingOf(room), shown };
}

function answer(request: ThreadRequest): Reply {
  switch (request.kind) {
    case "program":
      load(request);
      return NOTHING;
    case "forget":
      if (programs.has(request.program)) notWaiting(programOf(request.program).guest);
      programs.delete(request.program);
      return NOTHING;
    case "open": {
      const { room_id, snapshot } = request;
      const state = snapshot ? decodeSnapshot(unpackSnapshot(snapshot)) : emptyRoom();
      const room = { room_id, state };
      spent += stateUnits(state);
      rooms.set(request.room, room);
      return { standing: standingOf(room) };
    }
    case "apply": {
      const room = roomOf(request.room);
      const applied = apply(room, programOf(request.program), request);
      return { applied, standing: standingOf(room) };
    }
    case "remembers": {
      const { state: { remembered } } = roomOf(request.room);
      const knows = ([user_id, id]: readonly [string, string]) =>
        remembered.has(rememberedKey(user_id, id));
      return { remembered: request.commands.map(knows) };
    }
    case "snapshot": {
      const bytes = snapshot(request.room);
      if (bytes.length > PACKED_HERE_BYTES) return { unpacked: bytes };
      spent += packUnits(bytes);
      return { snapshot: packSnapshot(bytes) };
    }
    case "values": {
      const page = pageOf(roomOf(request.room).state.values, request.asked);
      spent += pageUnits(page);
      return { page };
    }
    case "become": {
      const room = roomOf(request.room);
      room.room_id = request.room_id;
      if (!request.with_timers) room.state = { ...room.state, timers: tree() };
      return { standing: standingOf(room) };
    }
    case "skip": {
      const room = roomOf(request.room);
      room.state = withoutEntries(room.state, request.offset);
      return { standing: standingOf(room) };
    }
    case "show":
      return show(roomOf(request.room), request);
    case "rest":
      rest(request.room);
      return NOTHING;
    case "close":
      rooms.delete(request.room);
      return NOTHING;
    default:
      return request satisfies never;
  }
}

answerMessages((request: ThreadRequest): ThreadAnswer => {
  const { id } = request;
  spent = made_units = 0;
  try {
    const reply = answer(request);
    return { id, units: spent, made_units, ...reply };
  } catch (error) {
    // The entries applied before the failure are discarded: the room is read again.
    if ("room" in request) rooms.delete(request.room);
    const failed = error instanceof Error ? error.message : String(error);
    return { id, units: spent, made_units, failed, is_damaged: error instanceof SnapshotError };
  }
});

/**
 * The state as if the entries before `offset` had changed nothing; that entry is the operator's request. The digest
 * records the gap, so that a replay with those entries does not match.
 */
function withoutEntries(state: RoomState, offset: number): RoomState {
  const writer = new CanonicalWriter().raw(state.chain).text("lost");
  writer.i64(state.offset).i64(offset);
  return { ...state, offset, chain: digestOf(writer.done()) };
}

/** The largest state that can be read again in a fraction of a millisecond; larger ones stay as they are. */
const RESTING_BYTES = 16_384;

/** A state as a text with one character for each byte: bytes would need two more objects, and memory of the system. */
type RestingState = string;

/** The packed state; undefined: it is too large. */
export function restingState(state: RoomState): RestingState | undefined {
  if (state.size_bytes + state.remembered_bytes > RESTING_BYTES) return undefined;
  const { buffer, byteOffset, length } = encodeSnapshot(state);
  if (length > RESTING_BYTES) return undefined;
  return Buffer.from(buffer, byteOffset, length).toString("latin1");
}

/** The snapshot of a packed state. */
export const snapshotOf = (resting: RestingState): Uint8Array => Buffer.from(resting, "latin1");

/** The state of a packed one. */
export const awakeState = (resting: RestingState): RoomState => decodeSnapshot(snapshotOf(resting));
