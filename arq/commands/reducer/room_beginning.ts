/** With what a fold of a room's log begins, and what is said where it cannot be folded. */
import { ArqonError } from "@arqon/proto";
import { SnapshotError } from "../../../brain/reducers/state/snapshot.ts";
import {
  type Beginnings,
  beginnings,
  DifferentEntries,
  MissingEntries,
  type RoomSource,
} from "../../reducers/room_fold.ts";
import { CommandError, EXIT } from "../../terminal/exit.ts";

/** Does it; what is in the way of a fold becomes an error for people. `verify`: what says more. */
export async function foldable<T>(fold: () => Promise<T>, verify?: string): Promise<T> {
  try {
    return await fold();
  } catch (error) {
    if (error instanceof DifferentEntries) {
      throw new CommandError(error.message, EXIT.failure, verify && `${verify} says more`);
    }
    const is_missing = error instanceof MissingEntries || error instanceof SnapshotError;
    const is_gone = error instanceof ArqonError && error.reason === "log-unavailable";
    if (!is_missing && !is_gone) throw error;
    throw new CommandError(error.message, EXIT.failure);
  }
}

/** What there is to begin with. */
export const beginningsOf = (source: RoomSource): Promise<Beginnings> =>
  foldable(() => beginnings(source));

/** Nothing that the log goes on from is there. */
export function noBeginning(
  { room_id, snapshots }: RoomSource,
  { first }: Beginnings,
): CommandError {
  const newest = snapshots.at(-1)?.offset;
  const has = newest === undefined ? "there is no snapshot" : `the newest snapshot is of ${newest}`;
  return new CommandError(
    `the log of ${room_id} begins with entry ${first ?? "none"}, and ${has}`,
    EXIT.failure,
    "a snapshot may have been replaced meanwhile: try it again",
  );
}
