/**
 * Epochs of rooms: their names, and those that a subscriber may name. An offset is only meaningful within its epoch.
 * Pure.
 */
import { samplingHash } from "../sampling.ts";
import { lastOf, type Lives } from "../spine/contract/lives.ts";

/** The epoch of a room in one incarnation of its log. Offsets of different epochs are not comparable. */
export function roomEpoch(stream: string, room_id: string): string {
  return samplingHash(`${stream}/${room_id}`).toString(36);
}

/**
 * The last offset that a position in this epoch may have. It is Infinity in the present epoch, and
 * undefined when the log remembers no such life.
 */
export function lastOfEpoch(lives: Lives, room_id: string, epoch: string): number | undefined {
  const life = lives.findLast(({ name }) => roomEpoch(name, room_id) === epoch);
  return life && lastOf(lives, life.name);
}

/** No room's epoch. A position without an epoch has it: it may be of another copy of the log. */
export const NO_EPOCH = "-";
/** With offset 0: the beginning of the room's present epoch. */
export const ANY_EPOCH = "*";
