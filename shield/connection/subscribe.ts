/**
 * SUB and UNSUB: from the checks to the subscription in the hub, and its end. `presence/service.ts` has members;
 * `fanout/flow.ts` has the position in a durable room.
 */
import { ArqonError } from "@arqon/proto";
import type { Subscribe, Unsubscribe } from "@arqon/proto";
import { ackAfterFlush, answer, wantsAck } from "./answers.ts";
import { requireGrant } from "../auth/authorize.ts";
import type { Connection } from "./connection.ts";
import type { Deltas } from "../fanout/deltas.ts";
import type { Filter } from "../fanout/filters.ts";
import { ANY_EPOCH, NO_EPOCH } from "../../shared/rooms/epoch.ts";
import { grownRoomOf, judgedRoomOf } from "../../shared/rooms/reserved.ts";
import type { Limits } from "../../shared/config/schema.ts";
import type { Lives } from "../../shared/spine/contract/lives.ts";
import { Flow } from "../fanout/flow.ts";
import type { EntryPoint, Position } from "../fanout/entry.ts";
import type { FlushQueue } from "./flush_queue.ts";
import type { Note } from "../message/gates.ts";
import type { Subscriber } from "../fanout/hub.ts";
import { requireRoomId } from "../../shared/subjects/subject.ts";
import type { MessagePath } from "../message/pipeline.ts";
import { sendMissed } from "./send_missed.ts";
import type { MissedContext } from "./send_missed.ts";
import type { Attend } from "./presence.ts";
import { presenceRequest } from "./presence_request.ts";
import type { LogPlace, PresenceRequest } from "./presence_request.ts";
import { subscribeRequest } from "../message/request_ref.ts";
import type { RequestRef } from "../message/request_ref.ts";
import { leaveReason, markOf, noteLeft } from "./subscription_marks.ts";
import type { LeaveWhy } from "./subscription_marks.ts";
import { RoomSubscriber } from "../fanout/room_subscriber.ts";
import { ROOMS_A_PIECE } from "./subscribed_patterns.ts";
import type { PatternContext } from "./subscribed_patterns.ts";
import { inPieces } from "../../shared/turns/slices.ts";

/** Close codes of a client that closed the connection, or was banned: it will not return. */
const DELIBERATE_CLOSES = [1000, 4403];

/** What SUBs of rooms and patterns need. */
export interface SubscribeContext extends PatternContext {
  readonly path: MessagePath;
  readonly flushes: FlushQueue;
  readonly attend: Attend;
  readonly limits: Limits;
  readonly stats: MissedContext["stats"] & PatternContext["stats"];
  /** Makes diffs; absent: none. */
  readonly deltas?: Pick<Deltas, "wish"> | undefined;
  /** The known incarnations of tenants' logs; absent: none. */
  readonly logs?: { livesOf(tenant_id: string): Promise<Lives> };
}

/** What ending a subscription needs. */
type LeaveContext = Pick<SubscribeContext, "hub" | "ledger" | "filters">;

interface Allowed {
  readonly subscribe: Subscribe;
  readonly presence_request: PresenceRequest | undefined;
  readonly request: RequestRef;
  readonly filter: Filter | undefined;
}

/**
 * The position in a SUB; undefined: the room's current one. No offset is above 2^53, so a larger one is ahead of the
 * log.
 */
function positionOf({ after_offset, epoch }: Subscribe): Position | undefined {
  const after = Number(after_offset);
  if (epoch === "") return after === 0 ? undefined : { after, epoch: NO_EPOCH };
  return { after, epoch: after === 0 && epoch === ANY_EPOCH ? "" : epoch };
}

/**
 * Runs a SUB. A promise blocks the connection's other operations until the SUB is entered. `note` records the policies'
 * verdicts.
 */
export function runSubscribe(
  context: SubscribeContext,
  connection: Connection,
  subscribe: Subscribe,
  note?: Note,
): Promise<void> | undefined {
  const { room_id } = subscribe;
  requireRoomId(room_id);
  requireGrant(connection.identity, "subscribe", room_id);
  context.path.bans.requireRoom(connection.identity, room_id);
  if (subscribe.presence) requireGrant(connection.identity, "presence", room_id);
  const presence_request = presenceRequest(subscribe, context.limits);
  const filter = context.filters.of(connection.identity.tenant_id, subscribe.filter, room_id);
  const request = subscribeRequest(subscribe);
  const allowed: Allowed = { subscribe, presence_request, request, filter };
  requireClass(context, connection, allowed);
  const admitted = context.overseer.onSubscribe(connection.caller, judgedRoomOf(room_id), note);
  if (admitted === undefined) return join(context, connection, allowed);
  return admitted.then(() => connection.ended ? undefined : join(context, connection, allowed));
}

/** Throws if the room's class forbids an option of the SUB. */
function requireClass(
  { path }: SubscribeContext,
  { identity }: Connection,
  { subscribe, presence_request }: Allowed,
): void {
  const { room_id } = subscribe;
  const { durable, presence } = path.classes.of(identity.tenant_id, room_id);
  const grown = grownRoomOf(room_id);
  if (grown !== undefined && !path.classes.of(identity.tenant_id, grown).durable) {
    throw new ArqonError("not-durable", grown);
  }
  if (presence_request !== undefined && !presence) {
    throw new ArqonError("presence-disabled", room_id);
  }
  if (subscribe.positions.length > 0) {
    throw new ArqonError("invalid-field", "positions: only for a pattern");
  }
  if (!durable && positionOf(subscribe) !== undefined) throw new ArqonError("not-durable", room_id);
}

function wishOf(context: SubscribeContext, connection: Connection, subscribe: Subscribe) {
  return { no_echo: subscribe.no_echo, deltas: context.deltas?.wish(connection, subscribe) };
}

/** Subscribes, once nothing has refused it. */
function join(
  context: SubscribeContext,
  connection: Connection,
  allowed: Allowed,
): Promise<void> | undefined {
  const { room_id, batch } = allowed.subscribe;
  requirePlace(context, connection, room_id, allowed.filter);
  if (batch) connection.useBatches();
  const room_class = context.path.classes.of(connection.identity.tenant_id, room_id);
  if (room_class.durable) return joinDurable(context, connection, allowed);
  const before = connection.subscriptions.get(room_id);
  const { filter, subscribe } = allowed;
  const mark = markOf(context, connection, { flow: before?.flow, filter, room_class });
  const subscriber = new RoomSubscriber(
    connection,
    wishOf(context, connection, subscribe),
    before?.flow,
    mark,
    filter,
  );
  put(context, connection, room_id, subscriber, "resubscribed");
  const onFailure = () => {
    if (connection.subscriptions.get(room_id) !== subscriber) return;
    leave(context, connection, room_id, "refused");
  };
  if (allowed.presence_request !== undefined) {
    return attend(context, connection, allowed, { subscriber, before, onFailure });
  }
  connection.attendance(room_id)?.end(true);
  return ackAfterFlush(context, connection, allowed.request, onFailure);
}

/** Throws if the connection may not have the subscription, or is at its limit. */
function requirePlace(
  { path, limits, filters }: SubscribeContext,
  { identity, subscriptions }: Connection,
  room_id: string,
  filter: Filter | undefined,
): void {
  // A ban may have arrived while policies judged the SUB, or the log answered.
  path.bans.requireRoom(identity, room_id);
  if (filter !== undefined) {
    const before = subscriptions.get(room_id)?.filter;
    filters.requireRoom(identity.tenant_id, room_id, filter, before);
  }
  if (subscriptions.has(room_id) || subscriptions.size < limits.rooms_per_connection) return;
  throw new ArqonError("too-many-rooms", String(limits.rooms_per_connection));
}

interface Place {
  readonly subscriber: Subscriber;
  readonly before: Subscriber | undefined;
  readonly onFailure: () => void;
  readonly log?: LogPlace;
}

/** Enters a SUB with presence, which is answered when the room's members are known. */
function attend(
  context: SubscribeContext,
  connection: Connection,
  { subscribe: { room_id }, request, presence_request }: Allowed,
  { subscriber, before, onFailure, log }: Place,
): undefined {
  if (presence_request === undefined) return;
  const restore = (other: Subscriber | undefined) => {
    if (connection.subscriptions.get(room_id) !== subscriber) return;
    if (other !== undefined) {
      const { flow, filter } = other;
      const room_class = context.path.classes.of(connection.identity.tenant_id, room_id);
      other.mark = markOf(context, connection, { flow, filter, room_class });
    }
    put(context, connection, room_id, other, "refused");
    if (other?.flow !== undefined) sendMissed(context, connection, room_id, other.flow);
  };
  const parts = { request, presence_request, subscriber, before, restore, leave: onFailure };
  try {
    const attendance = connection.attendance(room_id) ?? context.attend(connection, room_id);
    attendance.ask(log === undefined ? parts : { ...parts, log });
  } catch (error) {
    restore(before);
    throw error;
  }
}

/** Subscribes as `join`, once the room's log has determined the connection's position. */
function joinDurable(
  context: SubscribeContext,
  connection: Connection,
  allowed: Allowed,
): Promise<void> {
  const { room_id } = allowed.subscribe;
  const position = positionOf(allowed.subscribe);
  const { tenant_id } = connection.identity;
  return context.hub.enter(tenant_id, room_id, position, (entry_point) => {
    if (connection.ended) return;
    requirePlace(context, connection, room_id, allowed.filter);
    const before = connection.subscriptions.get(room_id);
    const flow = before?.flow ?? new Flow();
    // A SUB that only changes options keeps the connection's position.
    if (before?.flow === undefined || position !== undefined) flow.rewind(entry_point.cursor);
    const { subscribe, filter } = allowed;
    const room_class = context.path.classes.of(tenant_id, room_id);
    const mark = markOf(context, connection, { flow, filter, room_class });
    const subscriber = new RoomSubscriber(
      connection,
      wishOf(context, connection, subscribe),
      flow,
      mark,
      filter,
    );
    put(context, connection, room_id, subscriber, "resubscribed");
    const log = {
      position: () => positionResult(entry_point),
      begin: () => sendMissed(context, connection, room_id, flow),
    };
    if (allowed.presence_request !== undefined) {
      const onFailure = () => {
        if (connection.subscriptions.get(room_id) === subscriber) {
          leave(context, connection, room_id, "refused");
        }
      };
      return attend(context, connection, allowed, { subscriber, before, onFailure, log });
    }
    connection.attendance(room_id)?.end(true);
    if (wantsAck(allowed.request)) {
      const { offset, members } = log.position();
      const result = new TextEncoder().encode(`{${members}}`);
      answer(connection, allowed.request, { offset, result });
    }
    log.begin();
  });
}

/** The members of a durable room in a SUB's ACK. */
function positionResult(entry_point: EntryPoint): { offset: number; members: string } {
  const { recovered, reason } = entry_point;
  const { offset, epoch } = entry_point.position();
  const outcome = recovered === undefined
    ? ""
    : `"recovered":${recovered},${recovered ? "" : `"reason":"${reason}",`}`;
  return { offset, members: `${outcome}"offset":${offset},"epoch":${JSON.stringify(epoch)}` };
}

/** Replaces the room's current subscriber by another; either may be none. */
function put(
  context: LeaveContext,
  connection: Connection,
  room_id: string,
  subscriber: Subscriber | undefined,
  why: LeaveWhy,
): void {
  const { hub, filters } = context;
  const { identity: { tenant_id }, subscriptions } = connection;
  const before = subscriptions.get(room_id);
  if (before !== undefined) noteLeft(context, connection, room_id, before, why);
  // The new one comes first: a room never loses its Spine subscription while options change.
  if (subscriber !== undefined) hub.subscribe(tenant_id, room_id, subscriber);
  filters.hold(tenant_id, room_id, subscriber?.filter);
  filters.release(tenant_id, room_id, before?.filter);
  if (subscriber === undefined) subscriptions.delete(room_id);
  else subscriptions.set(room_id, subscriber);
  const channel = subscriber === undefined ? hub.find(tenant_id, room_id) : undefined;
  if (channel === undefined) connection.patterns?.yieldTo(room_id);
  else connection.patterns?.takeOver(channel, before?.flow);
  if (before !== undefined) hub.unsubscribe(tenant_id, room_id, before);
}

/** Runs an UNSUB. Throws `not-subscribed`. */
export function runUnsubscribe(
  context: SubscribeContext,
  connection: Connection,
  { room_id, request_id }: Unsubscribe,
): undefined {
  requireRoomId(room_id);
  if (!connection.subscriptions.has(room_id)) throw new ArqonError("not-subscribed", room_id);
  leave(context, connection, room_id, "unsubscribed");
  answer(connection, { request_id, ack_requested: false });
}

/**
 * Ends one subscription, and the connection's presence in the room; not deliberately if the connection was lost, or
 * ended with this close `code`. It is allowed that the connection has no subscription to the room.
 */
export function leave(
  context: LeaveContext,
  connection: Connection,
  room_id: string,
  why: LeaveWhy,
  deliberate = true,
  code?: number,
): void {
  connection.attendance(room_id)?.end(deliberate, leaveReason(why, code));
  if (why === "kick" || why === "room-ban") connection.patterns?.putOut(room_id, why);
  if (connection.subscriptions.has(room_id)) put(context, connection, room_id, undefined, why);
}

/**
 * Ends all subscriptions of a connection that has ended with this close code, in slices charged to its tenant; it
 * receives nothing more. While this process is `stopping`, a client that closes in order moves to another one, as
 * requested.
 */
export function leaveAll(
  context: LeaveContext,
  connection: Connection,
  code: number,
  stopping = false,
): void {
  const deliberate = DELIBERATE_CLOSES.includes(code) && !(stopping && code === 1000);
  const steps = leavingAll(context, connection, code, deliberate);
  void inPieces(connection.identity.tenant_id, steps, ROOMS_A_PIECE);
}

function* leavingAll(
  context: LeaveContext,
  connection: Connection,
  code: number,
  deliberate: boolean,
): Generator<void> {
  const { hub } = context;
  hub.gone.add(connection.id);
  yield* connection.patterns?.ending() ?? [];
  for (const room_id of [...connection.subscriptions.keys()]) {
    leave(context, connection, room_id, "closed", deliberate, code);
    yield;
  }
  hub.gone.delete(connection.id);
}
