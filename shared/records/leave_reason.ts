/** Why a member left a room, as its Shield reports it. The order is that of the wire: only append. */
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

/** A reason of the list; its index is on the wire. */
export type LeaveReason = typeof LEAVE_CAUSES[number];
