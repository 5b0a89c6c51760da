/** Names of rooms' epochs: what makes an offset mean something. Pure. */
import { samplingHash } from "../../shared/sampling.ts";
import { lastOf } from "../../shared/spine/contract/lives.ts";
import type { Lives } from "../../shared/spine/contract/lives.ts";

/**
 * The epoch of a room in one life of its log: in another epoch an offset may mean something else.
 */
export function roomEpoch(stream: string, room_id: string): string {
  return samplingHash(`${stream}/${room_id}`).toString(36);
}

/**
 * The last offset that a position in this epoch may have: Infinity in the present one, undefined when
 * the log remembers no such life.
 */
export function lastOfEpoch(lives: Lives, room_id: string, epoch: string): number | undefined {
  const life = lives.findLast(({ name }) => roomEpoch(name, room_id) === epoch);
  return life && lastOf(lives, life.name);
}
