/**
 * What processes tell each other of the record that changes beside the stored rooms, so that a
 * Brain that starts can find out whether the rooms are still the known ones. Brains write the
 * record; Shields only remember what they have heard of it.
 */
import { isId } from "@arqon/proto";
import { processSubject } from "../subjects/subject.ts";
import type { Subject } from "../subjects/subject.ts";

/** The record as some process knows it. */
export interface RoomsTail {
  /** The id of the rooms' life. */
  readonly id: string;
  /** The revision of the record in the bucket. */
  readonly revision: number;
  /** The name of its last change; no other change has it. */
  readonly beat: string;
  /** The highest revision of the whole bucket that was known then. */
  readonly highest: number;
}

// Subjects that Shields and Brains may use both ways under the accounts of docs/run_nats.md.
/** Subject on which a Brain tells everybody what the record is now. */
export const ROOMS_TOLD = processSubject("answers", "rooms-told");
/**
 * Subject on which a Brain asks everybody what they know of the record. The payload is the id for
 * `roomsAnswer`.
 */
export const ROOMS_ASK = processSubject("answers", "rooms-ask");

/** The subject of the answers to that question. Throws `invalid-room` for what is no id. */
export function roomsAnswer(asker: string): Subject {
  return processSubject("answers", `rooms-${asker}`);
}

/** The record in a message; undefined when there is none. */
export function readRoomsTail(payload: Uint8Array): RoomsTail | undefined {
  try {
    const { id, revision, beat, highest } = JSON.parse(new TextDecoder().decode(payload));
    const is_right = isId(id) && typeof beat === "string" &&
      [revision, highest].every(Number.isSafeInteger);
    return is_right ? { id, revision, beat, highest } : undefined;
  } catch {
    return undefined;
  }
}
