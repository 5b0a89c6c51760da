/**
 * States of rooms that nobody calls, as texts: the maps of a small state take ten times what is in them. When a room
 * rests is not decided here. Pure.
 */
import { Buffer } from "node:buffer";
import type { RoomState } from "../state/room_state.ts";
import { decodeSnapshot, encodeSnapshot } from "../state/snapshot.ts";

/** Bytes of a state that is read again in a part of a millisecond; what is larger stays as it is. */
const RESTING_BYTES = 16_384;

/** A state as a text with one character for each byte: bytes would take two objects more, and memory of the system. */
export type RestingState = string;

/** The state at rest; undefined: it is too large for that. */
export function restingState(state: RoomState): RestingState | undefined {
  if (state.size_bytes + state.remembered_bytes > RESTING_BYTES) return undefined;
  const { buffer, byteOffset, length } = encodeSnapshot(state);
  if (length > RESTING_BYTES) return undefined;
  return Buffer.from(buffer, byteOffset, length).toString("latin1");
}

/** The snapshot of a state at rest. */
export const snapshotOf = (resting: RestingState): Uint8Array => Buffer.from(resting, "latin1");

/** The state as it was. */
export const awakeState = (resting: RestingState): RoomState => decodeSnapshot(snapshotOf(resting));
