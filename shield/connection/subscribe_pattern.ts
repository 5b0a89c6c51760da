/**
 * SUB and UNSUB of a pattern of rooms, `orders-*`: from the checks to the connection's place. What then is
 * heard is `heard_patterns.ts`; a room alone is `subscribe.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { Subscribe, Unsubscribe } from "@arqon/proto";
import { canActInAll, notGranted } from "../auth/authorize.ts";
import type { Note } from "../journal/note.ts";
import { subscribeRequest } from "../message/request_ref.ts";
import { requireRoomsPattern } from "../../shared/subjects/subject.ts";
import { ackAfterFlush, answer } from "./answers.ts";
import type { Connection } from "./connection.ts";
import { HeardPatterns } from "./heard_patterns.ts";
import type { SubscribeContext } from "./subscribe.ts";

/** Whether a SUB or UNSUB is about a pattern; no room's id has a `*`. */
export const isPattern = (room_id: string): boolean => room_id.endsWith("*");

/**
 * Runs a SUB of a pattern. A promise holds the connection's other operations until it has its place. What
 * policies say of the pattern goes into `note`. Throws `invalid-room`, `not-granted`, `presence-disabled`,
 * `not-durable`, `banned`, `too-many-rooms`, `invalid-filter`, `too-many-filters`; rejects as policies do.
 */
export function runSubscribePattern(
  context: SubscribeContext,
  connection: Connection,
  subscribe: Subscribe,
  note?: Note,
): Promise<void> | undefined {
  const { room_id: pattern } = subscribe;
  requireRoomsPattern(pattern);
  if (!canActInAll(connection.identity, "subscribe", pattern)) {
    throw notGranted("subscribe", pattern);
  }
  context.path.bans.requireRoom(connection.identity, pattern);
  if (subscribe.presence || subscribe.member_meta.length > 0 || subscribe.observer) {
    throw new ArqonError("presence-disabled", `${pattern}: a pattern has no members`);
  }
  if (Number(subscribe.after_offset) !== 0 || subscribe.epoch !== "") {
    throw new ArqonError("not-durable", `${pattern}: each room has a position of its own`);
  }
  const admitted = context.overseer.onSubscribe(connection.caller, pattern, note);
  if (admitted === undefined) return hear(context, connection, subscribe);
  return admitted.then(() => connection.ended ? undefined : hear(context, connection, subscribe));
}

/** Hears the pattern, once nothing has refused it. */
function hear(context: SubscribeContext, connection: Connection, subscribe: Subscribe): undefined {
  const { room_id: pattern, no_echo, batch } = subscribe;
  const filter = context.filters.of(connection.identity.tenant_id, subscribe.filter);
  const patterns = connection.patterns ??= new HeardPatterns(context, connection);
  const { rooms_per_connection } = context.limits;
  const size = connection.subscriptions.size + patterns.size;
  // A ban may have come while policies judged the SUB.
  context.path.bans.requireRoom(connection.identity, pattern);
  if (!patterns.has(pattern) && size >= rooms_per_connection) {
    throw new ArqonError("too-many-rooms", String(rooms_per_connection));
  }
  if (batch) connection.useBatches();
  patterns.hear(pattern, { no_echo, filter });
  const onFailure = () => patterns.leave(pattern, "refused");
  return ackAfterFlush(context, connection, subscribeRequest(subscribe), onFailure);
}

/** Runs an UNSUB of a pattern. Throws `invalid-room` and `not-subscribed`. */
export function runUnsubscribePattern(
  connection: Connection,
  { room_id: pattern, request_id }: Unsubscribe,
): undefined {
  requireRoomsPattern(pattern);
  if (connection.patterns?.has(pattern) !== true) throw new ArqonError("not-subscribed", pattern);
  connection.patterns.leave(pattern, "unsubscribed");
  answer(connection, { request_id, ack_requested: false });
}
