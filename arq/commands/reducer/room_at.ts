/**
 * `arq room at` and `arq room diff`: what a room with a reducer was after an entry of its log, or at a time, and what
 * is different between two entries. The log is folded here, from the nearest snapshot before. Changes nothing.
 */
import type { RoomState } from "../../../brain/reducers/state/room_state.ts";
import { changesText, stateText } from "../../answers/room_fold_text.ts";
import { type RoomSource, stateAt, type Wanted } from "../../reducers/room_fold.ts";
import { openReduced } from "../../rooms/reduced_source.ts";
import { CommandError, EXIT, usageError } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { beginningsOf, foldable, noBeginning } from "./room_beginning.ts";
import type { Flags } from "../../program/flags.ts";

const whenText = (time_ms: number) => new Date(time_ms).toISOString();

async function notKept(source: RoomSource): Promise<CommandError> {
  const known = await beginningsOf(source);
  const [first] = known.begins;
  if (first === undefined) return noBeginning(source, known);
  // The time of what a fork began with is not known.
  const when = first.at_ms === 0 ? "" : `, of ${whenText(first.at_ms)}`;
  const back = `its log goes back to entry ${first.offset}${when}`;
  return new CommandError(`what ${source.room_id} was then is not kept: ${back}`, EXIT.failure);
}

async function stateWhen(source: RoomSource, wanted: Wanted): Promise<RoomState> {
  const state = await foldable(() => stateAt(source, wanted), `arq room verify ${source.room_id}`);
  if (state === undefined) throw await notKept(source);
  const { offset } = wanted;
  if (offset === Infinity || state.offset === offset || wanted.time_ms !== Infinity) return state;
  throw new CommandError(
    `${source.room_id} has no entry ${offset} yet: its last is ${state.offset}`,
    EXIT.failure,
  );
}

/** Keys are bytes; a state has one character for each. */
const prefixOf = ({ prefix = "" }: Flags<"tenant">) =>
  String.fromCharCode(...new TextEncoder().encode(prefix));

/** Prints what a room was. */
export async function roomAt(io: Io, room_id: string, flags: Flags<"tenant">): Promise<number> {
  const { offset = Infinity, time: time_ms = Infinity, json = false } = flags;
  const source = await openReduced(io, room_id, flags);
  const state = await stateWhen(source, { offset, time_ms });
  const { out, about } = stateText(room_id, state, { json, prefix: prefixOf(flags) });
  await print(io.stdout, out);
  await print(io.stderr, about);
  return EXIT.ok;
}

/** Prints what is different between two entries. */
export async function roomDiff(
  io: Io,
  room_id: string,
  flags: Flags<"from" | "tenant">,
): Promise<number> {
  const { from, to = Infinity, json = false } = flags;
  if (from > to) throw usageError(`--from ${from} is behind --to ${to}`);
  const source = await openReduced(io, room_id, flags);
  const before = await stateWhen(source, { offset: from, time_ms: Infinity });
  const after = await stateWhen(source, { offset: to, time_ms: Infinity });
  const prefix = prefixOf(flags);
  await print(io.stdout, changesText(room_id, { from: before, to: after }, { json, prefix }));
  return EXIT.ok;
}
