/**
 * Folds the log of a room with a reducer again on this machine: each entry by the program that applied it, with the
 * code of the room's owner. The caller provides the log and the programs.
 */
import { createReducer, type ReducerGuest } from "../../brain/reducers/guest/reducer_guest.ts";
import { meterReducer } from "../../wasm/reducer/reducer_check.ts";
import { type Batch, foldable } from "../../brain/reducers/log/batch.ts";
import { loadProgram, type RunnableProgram } from "../../brain/reducers/log/program.ts";
import { emptyRoom, tree } from "../../brain/reducers/state/room_state.ts";
import type { LogEntry, Outcome, RoomState } from "../../brain/reducers/state/room_state.ts";
import { applyEntry } from "../../brain/reducers/state/fold.ts";
import { decodeSnapshot, unpackSnapshot } from "../../brain/reducers/state/snapshot.ts";

/** A snapshot stored by the bus. */
interface StoredSnapshot {
  readonly name: string;
  /** Its last entry. */
  readonly offset: number;
  /** The room's clock at that entry; 0: unknown. */
  readonly at_ms: number;
  /** The log message with that entry; 0: unknown. */
  readonly position: number;
}

/** The source of a room's log. */
export interface RoomSource {
  readonly room_id: string;
  /** The room's snapshots, in the order of their entries. */
  readonly snapshots: readonly StoredSnapshot[];
  /** A snapshot, program or module by name; undefined: it is not stored. */
  get(name: string): Promise<Uint8Array | undefined>;
  /** The room whose past it shares; undefined: it began empty. */
  readonly origin: RoomOrigin | undefined;
  /** The last lost entry; 0: none are lost. */
  readonly lost: number;
  /** The log after a message, oldest first; 0: all of it. */
  batches(position: number): AsyncIterable<Batch>;
}

/** The room that a fork was made from. */
interface RoomOrigin {
  readonly room_id: string;
  /** The last entry that both rooms share. */
  readonly offset: number;
  readonly with_timers: boolean;
  open(): Promise<RoomSource>;
}

/** A state from which a fold can begin. */
export interface Beginning extends Omit<StoredSnapshot, "name"> {
  /** Its snapshot; undefined: the empty room, or a fork's first state. */
  readonly name: string | undefined;
}

/** The states from which a fold can begin. */
export interface Beginnings {
  /** The first entry that the log keeps; undefined: none. */
  readonly first: number | undefined;
  /** States that connect to the log, earliest first. */
  readonly begins: readonly Beginning[];
}

/** A place in a room's log: after the last entry that is not beyond it. */
export interface Wanted {
  readonly offset: number;
  readonly time_ms: number;
}

/** The result of one entry. */
export interface Folded {
  readonly entry: LogEntry;
  readonly state: RoomState;
  readonly outcome: Outcome;
  readonly program: string;
  /** The digest recorded by the bus and the first of its entries, when this entry is the last of them. */
  readonly noted: { readonly first: number; readonly chain: Uint8Array } | undefined;
}

/** Entries of the log are missing. */
export class MissingEntries extends Error {
  override readonly name = "MissingEntries";
}

/** Entries give another digest than the bus recorded. */
export class DifferentEntries extends Error {
  override readonly name = "DifferentEntries";
}

/** Finds the states from which a fold can begin. */
export async function beginnings(source: RoomSource): Promise<Beginnings> {
  let first: number | undefined;
  for await (const { after, entries } of source.batches(0)) {
    if (entries.length === 0) continue;
    first = after + 1;
    break;
  }
  const offset = source.origin?.offset ?? 0;
  const floor = first === undefined ? undefined : first - 1;
  const { states: begins, is_whole } = foldable(source.snapshots, { floor, origin: offset });
  const empty: Beginning = { name: undefined, offset, at_ms: 0, position: 0 };
  return { first, begins: is_whole ? [empty, ...begins] : begins };
}

/** The state of a beginning; undefined: its snapshot is gone. Throws `SnapshotError` when it is invalid. */
export async function stateOf(
  source: RoomSource,
  { name }: Beginning,
): Promise<RoomState | undefined> {
  const { origin } = source;
  if (name === undefined && origin !== undefined) {
    const { offset, with_timers } = origin;
    const state = await stateAt(await origin.open(), { offset, time_ms: Infinity });
    if (state?.offset !== offset) {
      throw new MissingEntries(`entry ${offset} of ${origin.room_id} is missing`);
    }
    return with_timers ? state : { ...state, timers: tree() };
  }
  if (name === undefined) return emptyRoom();
  const bytes = await source.get(name);
  return bytes === undefined ? undefined : decodeSnapshot(unpackSnapshot(bytes));
}

/**
 * The first usable beginning: its state exists, and no entries after it are lost. A fork's first state may be gone with
 * the other room's past. Throws `MissingEntries` when nothing else remains.
 */
export async function firstOf(
  source: RoomSource,
  begins: readonly Beginning[],
): Promise<{ readonly state: RoomState; readonly position: number } | undefined> {
  let gone: MissingEntries | undefined;
  for (const one of begins.filter(({ offset }) => offset >= source.lost)) {
    try {
      const state = await stateOf(source, one);
      if (state !== undefined) return { state, position: one.position };
    } catch (error) {
      if (!(error instanceof MissingEntries)) throw error;
      gone = error;
    }
  }
  if (gone !== undefined) throw gone;
  return undefined;
}

/** Whether a state is beyond the wanted place. */
const isPast = (
  { offset, time_ms }: Pick<RoomState, "offset" | "time_ms">,
  wanted: Wanted,
): boolean => offset > wanted.offset || time_ms > wanted.time_ms;

interface Loaded {
  readonly program: RunnableProgram;
  readonly guest: ReducerGuest;
}

async function load(source: RoomSource, id: string): Promise<Loaded> {
  const program = await loadProgram(source, id);
  const { bytes, memory_limit_pages, price_version } = program;
  const metered = meterReducer(bytes, memory_limit_pages, price_version);
  const compiled = await WebAssembly.compile(metered.bytes);
  return { program, guest: createReducer(compiled, metered, program.fuel_limit) };
}

/**
 * Applies the log's entries after a state, in order; `position`: the message with the state's last entry, or 0. Throws
 * `MissingEntries`, and `log-unavailable` when a program is not stored.
 */
export async function* foldRoom(
  source: RoomSource,
  begin: RoomState,
  position = 0,
): AsyncGenerator<Folded> {
  const loaded = new Map<string, Loaded>();
  let state = begin;
  for await (const { program: id, entries, after, chain } of source.batches(position)) {
    if (entries.length === 0 || after + entries.length <= state.offset) continue;
    if (after > state.offset) {
      throw new MissingEntries(`entries ${state.offset + 1} to ${after} of the log are missing`);
    }
    const { program, guest } = loaded.get(id) ?? await load(source, id);
    loaded.set(id, { program, guest });
    const about = { room_id: source.room_id, bounds: program.bounds };
    for (const entry of entries) {
      if (entry.offset <= state.offset) continue;
      const step = applyEntry(state, entry, (draft) => guest.run(draft).verdict, about);
      ({ state } = step);
      const noted = entry === entries.at(-1) ? { first: after + 1, chain } : undefined;
      yield { entry, ...step, program: id, noted };
    }
  }
}

/** The nearest stored state before a place, and the log position after it; undefined: there is none. */
async function nearest(
  source: RoomSource,
  { begins }: Beginnings,
  wanted: Wanted,
): Promise<{ readonly state: RoomState; readonly position: number } | undefined> {
  for (const one of begins.toReversed()) {
    if (isPast({ offset: one.offset, time_ms: one.at_ms }, wanted)) continue;
    const state = await stateOf(source, one);
    if (state !== undefined && !isPast(state, wanted)) return { state, position: one.position };
  }
  return undefined;
}

/** A room's state at a place; undefined: it is not kept. Throws as `foldRoom`, and `DifferentEntries`. */
export async function stateAt(source: RoomSource, wanted: Wanted): Promise<RoomState | undefined> {
  const begin = await nearest(source, await beginnings(source), wanted);
  if (begin === undefined) {
    return source.origin && await stateAt(await source.origin.open(), wanted);
  }
  let { state } = begin;
  // The next entry need not be read to know that it is beyond the place.
  if (state.offset === wanted.offset) return state;
  for await (const folded of foldRoom(source, state, begin.position)) {
    if (isPast(folded.state, wanted)) break;
    state = folded.state;
    const { noted } = folded;
    if (noted !== undefined && noted.chain.toHex() !== state.chain.toHex()) {
      const text =
        `entry ${state.offset} of ${source.room_id} has a different result than the recorded one`;
      throw new DifferentEntries(text);
    }
    if (state.offset === wanted.offset) break;
  }
  return state;
}
