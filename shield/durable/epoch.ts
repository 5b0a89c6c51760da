/** Names of rooms' epochs: what makes an offset mean something. Pure. */
import { samplingHash } from "../../shared/sampling.ts";

/** One for each room and incarnation of its log: another one says that the offsets begin anew. */
export function roomEpoch(stream: string, room_id: string): string {
  return samplingHash(`${stream}/${room_id}`).toString(36);
}
