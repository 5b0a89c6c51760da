/**
 * `arq room verify`: folds the log of a room with a reducer again, from the beginning or from the oldest snapshot,
 * and compares the digests that the bus noted. Changes nothing.
 */
import { digestOf, type RoomState } from "../../../brain/reducers/state/room_state.ts";
import { unpackSnapshot } from "../../../brain/reducers/state/packed_snapshot.ts";
import { encodeSnapshot } from "../../../brain/reducers/state/snapshot.ts";
import { type FoldDifference, foldText } from "../../answers/room_fold_text.ts";
import { firstOf, type Folded, foldRoom, type RoomSource } from "../../reducers/room_fold.ts";
import { openReduced } from "../../rooms/reduced_source.ts";
import { EXIT } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { beginningsOf, foldable, noBeginning } from "./room_beginning.ts";
import type { Flags } from "../../program/flags.ts";

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

/** Folds a room's log. Returns 1 when it comes to something else than the bus noted. */
export async function roomVerify(
  io: Io,
  room_id: string,
  flags: Flags<"tenant">,
): Promise<number> {
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
  await print(io.stdout, foldText({ ...end, state, difference }, flags.json === true));
  return difference === undefined ? EXIT.ok : EXIT.failure;
}
