/**
 * Messages about the record that changes together with the stored rooms, by which a Brain that starts finds out whether
 * the stored rooms are still the known ones. Brains write the record; Shields only remember the last one received.
 */
import { isId } from "@arqon/proto";
import { processSubject, type Subject } from "../subjects/subject.ts";

/** The record as a process knows it. */
export interface RoomsTail {
  /** The incarnation of the stored rooms. */
  readonly id: string;
  /** The revision of the record in the bucket. */
  readonly revision: number;
  /** The unique name of its last change. */
  readonly beat: string;
  /** The highest known revision of the whole bucket then. */
  readonly highest: number;
}

// Subjects that Shields and Brains may publish and subscribe under the accounts of docs/run_nats.md.
/** A Brain publishes the current record here. */
export const ROOMS_CURRENT = processSubject("answers", "rooms-told");
/** A Brain asks all processes for the record that they know. The payload is the id for `roomsAnswer`. */
export const ROOMS_ASK = processSubject("answers", "rooms-ask");

/** The subject of the answers to that request. Throws `invalid-room` for an invalid id. */
export function roomsAnswer(asker: string): Subject {
  return processSubject("answers", `rooms-${asker}`);
}

/** The record in a message; undefined if there is none. */
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
