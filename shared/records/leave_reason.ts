/** Why a member left a room, as its Shield says it. The order is that of the wire: only add at the end. */
export const LEAVE_CAUSES = [
  "unknown",
  "unsubscribed",
  "closed",
  "lost",
  "kicked",
  "banned",
  "token-ended",
  "node-lost",
] as const;

/** One of `LEAVE_CAUSES`. */
export type LeaveReason = typeof LEAVE_CAUSES[number];
