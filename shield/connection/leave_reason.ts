/** Why subscriptions and memberships end. */
import type { LeaveReason } from "../../shared/records/leave_reason.ts";

/** Why a subscription ends, for the ledger: a word such as "kick" or "idle", or the reason of a refusal. */
export type LeaveWhy = string;

/** Why a member left, by the close code; every other end of a connection is a loss. */
const OF_CODE = new Map<number, LeaveReason>([
  [1000, "closed"],
  [1001, "closed"],
  // A close frame without a code, as browsers send it if a page names none.
  [1005, "closed"],
  [4401, "token-ended"],
  [4403, "banned"],
]);
const OF_WHY = new Map<LeaveWhy, LeaveReason>([
  ["kick", "kicked"],
  ["room-ban", "banned"],
  // The token that granted it was replaced.
  ["not-granted", "token-ended"],
]);

/** Why a member left, for the journal of members; `code` is that of the close, if one ended the subscription. */
export function leaveReason(why: LeaveWhy, code: number | undefined): LeaveReason {
  if (why === "closed") return OF_CODE.get(code ?? 0) ?? "lost";
  return OF_WHY.get(why) ?? "unsubscribed";
}
