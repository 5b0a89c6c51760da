/**
 * `arq room at`, `diff` and `verify`: the state of a room with a reducer after an entry of its log or at a time, the
 * differences between two entries, and whether the digests match the recorded ones. The log is folded here, from the
 * nearest earlier snapshot. Changes nothing.
 */
import { ArqonError } from "@arqon/proto";
import { encodeSnapshot, SnapshotError } from "../../../brain/reducers/state/snapshot.ts";
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
import { changesReport, foldReport, stateReport } from "../../answers/reducer_text.ts";
import type { FoldDifference } from "../../answers/reducer_text.ts";
import { openReduced } from "../../rooms/reduced_source.ts";
import type { Ended, Io } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { unpackSnapshot } from "../../../brain/reducers/state/packed_snapshot.ts";

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

const whenText = (time_ms: number) => new Date(time_ms).toISOString();

async function notKept(source: RoomSource): Promise<CommandError> {
  const known = await beginningsOf(source);
  const [first] = known.begins;
  if (first === undefined) return noBeginning(source, known);
  // The time of a fork's first state is unknown.
  const when = first.at_ms === 0 ? "" : `, of ${whenText(first.at_ms)}`;
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
  const source = await openReduced(io, room_id, flags);
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
  const source = await openReduced(io, room_id, flags);
  const before = await stateWhen(source, { offset: from, time_ms: Infinity });
  const after = await stateWhen(source, { offset: to, time_ms: Infinity });
  return changesReport(room_id, before, after, prefixOf(flags));
}

async function snapshotDifference(
  source: RoomSource,
  state: RoomState,
): Promise<FoldDifference | "same" | undefined> {
  const own = source.snapshots.find(({ offset }) => offset === state.offset);
  const bytes = own && await source.get(own.name);
  if (bytes === undefined) return undefined;
  const [noted, folded] = [digestOf(unpackSnapshot(bytes)), digestOf(encodeSnapshot(state))];
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
  const source = await openReduced(io, room_id, flags);
  const known = await beginningsOf(source);
  const oldest = await foldable(() => firstOf(source, known.begins));
  if (oldest === undefined) throw noBeginning(source, known);
  const begin = oldest.state;
  const programs = new Set<string>();
  let [state, entries, snapshots] = [begin, 0, 0];
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
  const end = { room_id, begin: begin.offset, from, entries, programs: programs.size, snapshots };
  const code = difference === undefined ? EXIT.ok : EXIT.failure;
  return { ...foldReport({ ...end, state, difference }), code };
}
