/**
 * `arq room at`, `diff` and `verify`: the state of a room with a reducer after an entry of its log or at a time, the
 * differences between two entries, and whether the digests match the recorded ones. The log is folded here, from the
 * nearest earlier snapshot. Changes nothing.
 */
import { ArqonError } from "@arqon/proto";
import {
  encodeSnapshot,
  SnapshotError,
  unpackSnapshot,
} from "../../../brain/reducers/state/snapshot.ts";
import {
  beginnings,
  DifferentEntries,
  firstOf,
  foldRoom,
  MissingEntries,
  stateAt,
} from "../../reducers/room_fold.ts";
import type { Beginnings, Folded, RoomSource, Wanted } from "../../reducers/room_fold.ts";
import { CommandError, EXIT, failed, usageError } from "../../terminal/exit.ts";
import { digestOf, type RoomState } from "../../../brain/reducers/state/room_state.ts";
import { count, time } from "../../answers/figures.ts";
import { counted, digestLines, digestsOf, sizeText } from "../../answers/reducer_text.ts";
import { valueLine, valuesOf } from "../../answers/reducer_text.ts";
import { findAdmin } from "../../bus/admin.ts";
import { openReduced } from "../../rooms/reduced_source.ts";
import type { Ended, Io, Report } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { linesText } from "../../terminal/columns.ts";

/** Runs a fold; its failures become errors for people. `verify`: a command that tells more. */
export async function foldable<T>(fold: () => Promise<T>, verify?: string): Promise<T> {
  try {
    return await fold();
  } catch (error) {
    if (error instanceof DifferentEntries) {
      throw failed(error.message, verify && `${verify} has details`);
    }
    const is_missing = error instanceof MissingEntries || error instanceof SnapshotError;
    const is_gone = error instanceof ArqonError && error.reason === "log-unavailable";
    if (!is_missing && !is_gone) throw error;
    throw new CommandError(error.message);
  }
}

/** The states from which a fold can begin. */
export const beginningsOf = (source: RoomSource): Promise<Beginnings> =>
  foldable(() => beginnings(source));

/** The error when no stored state connects to the log. */
function noBeginning({ room_id, snapshots }: RoomSource, { first }: Beginnings): CommandError {
  const newest = snapshots.at(-1)?.offset;
  const has = newest === undefined ? "there is no snapshot" : `the newest snapshot is of ${newest}`;
  return failed(
    `the log of ${room_id} begins with entry ${first ?? "none"}, and ${has}`,
    "a snapshot may have been replaced meanwhile: retry",
  );
}

async function notKept(source: RoomSource): Promise<CommandError> {
  const known = await beginningsOf(source);
  const [first] = known.begins;
  if (first === undefined) return noBeginning(source, known);
  // The time of a fork's first state is unknown.
  const when = first.at_ms === 0 ? "" : `, of ${time(first.at_ms)}`;
  const back = `its log goes back to entry ${first.offset}${when}`;
  return new CommandError(`the state of ${source.room_id} at that time is not kept: ${back}`);
}

async function stateWhen(source: RoomSource, wanted: Wanted): Promise<RoomState> {
  const state = await foldable(() => stateAt(source, wanted), `arq room verify ${source.room_id}`);
  if (state === undefined) throw await notKept(source);
  const { offset } = wanted;
  if (offset === Infinity || state.offset === offset || wanted.time_ms !== Infinity) return state;
  throw new CommandError(
    `${source.room_id} has no entry ${offset} yet: its last is ${state.offset}`,
  );
}

/** Keys are bytes; a state has one character for each. */
const prefixOf = ({ prefix = "" }: Flags<"tenant">) =>
  String.fromCharCode(...new TextEncoder().encode(prefix));

/** Prints a room's state at a place in its log. */
export async function roomAt(io: Io, room_id: string, flags: Flags<"tenant">): Promise<Ended> {
  const { offset = Infinity, time: time_ms = Infinity } = flags;
  const source = await openReduced(await findAdmin(io, flags), room_id, flags);
  const state = await stateWhen(source, { offset, time_ms });
  return stateReport(room_id, state, prefixOf(flags));
}

/** Prints the differences between two entries. */
export async function roomDiff(
  io: Io,
  room_id: string,
  flags: Flags<"from" | "tenant">,
): Promise<Ended> {
  const { from, to = Infinity } = flags;
  if (from > to) throw usageError(`--from ${from} is after --to ${to}`);
  const source = await openReduced(await findAdmin(io, flags), room_id, flags);
  const before = await stateWhen(source, { offset: from, time_ms: Infinity });
  const after = await stateWhen(source, { offset: to, time_ms: Infinity });
  return changesReport(room_id, before, after, prefixOf(flags));
}

/** A difference between a fold and the bus. */
interface FoldDifference {
  /** `entries`: their digests differ; `snapshot`: the room's state differs from the stored snapshot. */
  readonly about: "entries" | "snapshot";
  /** The first entry that may differ; the last one is `last`. */
  readonly first: number;
  readonly last: number;
  readonly noted: Uint8Array;
  readonly folded: Uint8Array;
}

async function snapshotDifference(
  source: RoomSource,
  state: RoomState,
): Promise<FoldDifference | "same" | undefined> {
  const own = source.snapshots.find(({ offset }) => offset === state.offset);
  const bytes = own && await source.get(own.name);
  if (bytes === undefined) return undefined;
  const noted = digestOf(unpackSnapshot(bytes));
  const folded = digestOf(encodeSnapshot(state));
  if (noted.toHex() === folded.toHex()) return "same";
  return { about: "snapshot", first: state.offset, last: state.offset, noted, folded };
}

function entriesDifference({ noted, state }: Folded): FoldDifference | undefined {
  if (noted === undefined || noted.chain.toHex() === state.chain.toHex()) return undefined;
  const { first, chain } = noted;
  return { about: "entries", first, last: state.offset, noted: chain, folded: state.chain };
}

/** Folds a room's log. Returns 1 when the result differs from what the bus recorded. */
export async function roomVerify(io: Io, room_id: string, flags: Flags<"tenant">): Promise<Ended> {
  const source = await openReduced(await findAdmin(io, flags), room_id, flags);
  const known = await beginningsOf(source);
  const oldest = await foldable(() => firstOf(source, known.begins));
  if (oldest === undefined) throw noBeginning(source, known);
  const begin = oldest.state;
  const programs = new Set<string>();
  let state = begin;
  let entries = 0;
  let snapshots = 0;
  let difference: FoldDifference | undefined;
  await foldable(async () => {
    for await (const folded of foldRoom(source, begin)) {
      entries++;
      programs.add(folded.program);
      state = folded.state;
      const stored = await snapshotDifference(source, state);
      if (stored === "same") snapshots++;
      difference = entriesDifference(folded) ?? (stored === "same" ? undefined : stored);
      if (difference !== undefined) break;
    }
  });
  const { origin } = source;
  const from = origin?.offset === begin.offset ? origin.room_id : undefined;
  const digests = digestsOf(state);
  const hex = { noted: difference?.noted.toHex(), folded: difference?.folded.toHex() };
  const json = {
    room: room_id,
    same: difference === undefined,
    begin: begin.offset,
    offset: state.offset,
    entries,
    programs: programs.size,
    snapshots,
    differs: difference === undefined ? null : { ...difference, ...hex },
    ...digests,
  };
  if (difference !== undefined) {
    return { json, text: linesText(differenceText(room_id, difference)), code: EXIT.failure };
  }
  const behind = from === undefined
    ? `after the snapshot of entry ${begin.offset}`
    : `after entry ${begin.offset} of ${from}`;
  const where = begin.offset === 0 ? "from the first" : behind;
  const past = snapshots === 0 ? "" : `, past ${counted(snapshots, "snapshot", "snapshots")}`;
  const which = `${counted(entries, "entry", "entries")} ${where} to entry ${count(state.offset)}`;
  const by = `by ${counted(programs.size, "program", "programs")}${past}`;
  return {
    json,
    text: linesText([`${room_id}: ${which} ${by}: the same`, ...digestLines(digests)]),
  };
}

function differenceText(room_id: string, difference: FoldDifference): string[] {
  const { about, first, last, noted, folded } = difference;
  const which = first === last ? `entry ${first}` : `one of the entries ${first} to ${last}`;
  const what = about === "snapshot"
    ? `the snapshot after entry ${last} differs from the result of its entries`
    : `${which} has a different result than the recorded one`;
  return [`${room_id}: ${what}`, `noted   ${noted.toHex()}`, `folded  ${folded.toHex()}`];
}

/** A state: its values, and a summary for people. */
function stateReport(room_id: string, state: RoomState, prefix: string): Report {
  const { offset, time_ms: at_ms, size_bytes: state_bytes, timers } = state;
  const values = valuesOf(state, prefix);
  const at = at_ms === 0 ? "" : `, ${time(at_ms)}`;
  return {
    json: {
      room: room_id,
      offset,
      at_ms,
      keys: state.values.size,
      state_bytes,
      timers: Object.fromEntries([...timers.entries()].map(([key, { at_ms }]) => [key, at_ms])),
      ...digestsOf(state),
      snapshot: digestOf(encodeSnapshot(state)).toHex(),
      values: Object.fromEntries(values),
    },
    text: linesText(values.map(valueLine)),
    note: linesText([`${room_id} after entry ${count(offset)}${at}: ${sizeText(state)}`]),
  };
}

/** The differences between two states of a room. */
function changesReport(room_id: string, from: RoomState, to: RoomState, prefix: string): Report {
  const [before, after] = [from, to].map((state) => new Map(valuesOf(state, prefix)));
  const is = (state: RoomState) => ({ offset: state.offset, at_ms: state.time_ms });
  const removed = [...before!].filter(([key]) => !after!.has(key));
  const added = [...after!].filter(([key]) => !before!.has(key));
  const changed = [...before!].flatMap(([key, value]) => {
    const now = after!.get(key);
    return now === undefined || now === value ? [] : [[key, { from: value, to: now }] as const];
  });
  return {
    json: {
      room: room_id,
      from: is(from),
      to: is(to),
      added: Object.fromEntries(added),
      removed: Object.fromEntries(removed),
      changed: Object.fromEntries(changed),
    },
    text: linesText([
      ...removed.map((one) => `- ${valueLine(one)}`),
      ...added.map((one) => `+ ${valueLine(one)}`),
      ...changed.map(([key, { from, to }]) => `~ ${key} = ${from} -> ${to}`),
    ]),
  };
}
