/** What is queued in a backlog, as its links have it. Data only. */
import type { LeftOutRun } from "./delivery_notes.ts";
import type { Frame } from "./frame_bytes.ts";

/** A frame in the queue, and in its room's lane if it may be left out. */
export interface Waiting {
  frame: Frame;
  size_bytes: number;
  next: Waiting | undefined;
  previous: Waiting | undefined;
  lane: Lane | undefined;
  lane_next: Waiting | undefined;
  lane_previous: Waiting | undefined;
  key: string;
  /** The GAP that stands before it, behind the message before it in the lane. */
  gap: Waiting | undefined;
  readonly is_gap: boolean;
  /** The ledger's position of what was being sent when its place was taken. */
  position: number;
  /** The ledger's position of the message; 0: it is none that may be left out. */
  message_position: number;
}

/** The waiting messages of one room that may be left out, the oldest first. */
export interface Lane {
  readonly room_id: string;
  head: Waiting | undefined;
  tail: Waiting | undefined;
  bytes: number;
  /** The newest message of each key, in rooms of `latest`. */
  readonly keys: Map<string, Waiting>;
  /** The GAP behind the tail. */
  gap: Waiting | undefined;
  /** All GAPs that have not left yet. */
  gaps: number;
  gap_bytes: number;
  /** The ledger's rows of the messages that the GAP stands for, and of replaced ones. */
  left_out: LeftOutRun | undefined;
  conflated: LeftOutRun | undefined;
}

/** The lane of a room of which nothing waits. */
export function emptyLane(room_id: string): Lane {
  const ends = { head: undefined, tail: undefined, gap: undefined, gaps: 0, gap_bytes: 0 };
  const rows = { left_out: undefined, conflated: undefined };
  return { room_id, ...ends, ...rows, bytes: 0, keys: new Map() };
}
