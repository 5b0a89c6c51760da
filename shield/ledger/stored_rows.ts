/**
 * What rows that are in stored blocks only say of a connection: that it had a subscription, and from which message
 * on some waited for it. What rows of a ledger in memory say is `history.ts`.
 */
import type { ConnectionHistory } from "./history.ts";
import type { SubscriptionBegin } from "./row_facts.ts";
import { factsOf } from "./scan.ts";
import type { Passed } from "./scan.ts";

/** Takes note of a subscription that was there when it was written; of one and the same the last counts. */
export function addJoined(history: ConnectionHistory, row: Passed, room_id: string): void {
  const begin = factsOf<SubscriptionBegin>(row);
  const { number, since, since_ms, caught_up, filters = [] } = begin;
  removeJoined(history, room_id, begin);
  const ends = { until: Infinity, until_ms: Infinity, why: "" };
  const batch = history.batch ?? false;
  history.intervals.push({ room_id, number, since, since_ms, ...ends, batch, caught_up, filters });
}

/** Takes note that messages waited for the connection when that was written. */
export function addWaiting(history: ConnectionHistory | undefined, row: Passed): void {
  if (history === undefined) return;
  history.waiting = { from: factsOf<{ from: number }>(row).from, at_ms: row.time_ms };
}

/**
 * Takes out what was said of a subscription while it was there: it is said anew. Another of the same room may have
 * begun at the same position and time.
 */
export function removeJoined(
  { intervals }: ConnectionHistory,
  room_id: string,
  { number, since, since_ms }: SubscriptionBegin,
): void {
  const at = intervals.findIndex((one) =>
    one.room_id === room_id && one.number === number && one.since === since &&
    one.since_ms === since_ms && one.until === Infinity
  );
  if (at >= 0) intervals.splice(at, 1);
}
