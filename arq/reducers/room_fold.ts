/**
 * The log of a room with a reducer, folded again on this machine: each entry by the program that it was applied by,
 * in the code that the room's owner has. Where the log and the programs come from is the caller's.
 */
import { createReducer, type ReducerGuest } from "../../brain/reducers/guest/reducer_guest.ts";
import { meterReducer } from "../../wasm/reducer/reducer_check.ts";
import type { Batch } from "../../brain/reducers/log/batch.ts";
import { loadProgram, type RunnableProgram } from "../../brain/reducers/log/program.ts";
import type { LogEntry } from "../../brain/reducers/state/entry.ts";
import { applyEntry } from "../../brain/reducers/state/fold.ts";
import { emptyRoom, type RoomState } from "../../brain/reducers/state/room_state.ts";
import { decodeSnapshot } from "../../brain/reducers/state/snapshot.ts";

/** Where a room's log is read. */
export interface RoomSource {
  readonly room_id: string;
  /** Names of the room's snapshots. */
  readonly snapshots: readonly string[];
  /** A snapshot, program or module by its name; undefined: it is not stored. */
  get(name: string): Promise<Uint8Array | undefined>;
  /** All that the log keeps, the oldest first. */
  batches(): AsyncIterable<Batch>;
}

/** A state that the bus has stored. */
export interface StoredState {
  readonly bytes: Uint8Array;
  readonly state: RoomState;
}

/** What is there to begin a fold with. */
export interface Beginnings {
  /** In the order of their offsets. */
  readonly stored: readonly StoredState[];
  /** The first entry that the log keeps; undefined: it keeps none. */
  readonly first: number | undefined;
  /** States that the log goes on from, the earliest first: the empty room, and snapshots. */
  readonly states: readonly RoomState[];
}

/** What one entry came to. */
export interface Folded {
  readonly entry: LogEntry;
  readonly state: RoomState;
  readonly program: string;
  /** The entries whose digest the bus noted, with that, when this is the last of them. */
  readonly noted: { readonly first: number; readonly chain: Uint8Array } | undefined;
}

/** Entries of the log that are missing. */
export class MissingEntries extends Error {
  override readonly name = "MissingEntries";
}

/** Looks for what a fold can begin with. Throws `SnapshotError` for a snapshot that is none. */
export async function beginnings(source: RoomSource): Promise<Beginnings> {
  let first: number | undefined;
  for await (const { after, entries } of source.batches()) {
    if (entries.length === 0) continue;
    first = after + 1;
    break;
  }
  const found = await Promise.all(source.snapshots.map((name) => source.get(name)));
  const stored = found.filter((bytes) => bytes !== undefined)
    .map((bytes) => ({ bytes, state: decodeSnapshot(bytes) }))
    .sort((one, other) => one.state.offset - other.state.offset);
  const begins = first ?? Infinity;
  const states = stored.map(({ state }) => state)
    .filter(({ offset }) => first === undefined || offset + 1 >= begins);
  const is_whole = first === 1 || first === undefined && source.snapshots.length === 0;
  return { stored, first, states: is_whole ? [emptyRoom(), ...states] : states };
}

interface Loaded {
  readonly program: RunnableProgram;
  readonly guest: ReducerGuest;
}

async function load(source: RoomSource, id: string): Promise<Loaded> {
  const program = await loadProgram(source, id);
  const metered = meterReducer(program.bytes, program.memory_limit_pages);
  const compiled = await WebAssembly.compile(metered.bytes);
  return { program, guest: createReducer(compiled, metered, program.fuel_limit) };
}

/**
 * Applies the log's entries behind a state, one after the other. Throws `MissingEntries`, and `log-unavailable`
 * when a program is not stored.
 */
export async function* foldRoom(source: RoomSource, begin: RoomState): AsyncGenerator<Folded> {
  const loaded = new Map<string, Loaded>();
  let state = begin;
  for await (const { program: id, entries, after, chain } of source.batches()) {
    if (entries.length === 0 || after + entries.length <= state.offset) continue;
    if (after > state.offset) {
      throw new MissingEntries(`entries ${state.offset + 1} to ${after} of the log are gone`);
    }
    const { program, guest } = loaded.get(id) ?? await load(source, id);
    loaded.set(id, { program, guest });
    const about = { room_id: source.room_id, bounds: program.bounds };
    for (const entry of entries) {
      if (entry.offset <= state.offset) continue;
      ({ state } = applyEntry(state, entry, (draft) => guest.run(draft).verdict, about));
      const is_last = entry === entries.at(-1);
      yield { entry, state, program: id, noted: is_last ? { first: after + 1, chain } : undefined };
    }
  }
}
