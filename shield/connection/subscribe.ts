/**
 * SUB and UNSUB: from the checks to the subscription in the hub, and its end. `presence/service.ts` has members;
 * `durable/recovery/recovery.ts` has the position in a durable room.
 */
import { ArqonError, encodeUtf8 } from "@arqon/proto";
import type { Subscribe, Unsubscribe } from "@arqon/proto";
import { ackAfterFlush, answer } from "./answers.ts";
import { requireGrant } from "../auth/authorize.ts";
import type { Identity } from "../auth/identity.ts";
import type { Connection } from "./connection.ts";
import type { Deltas } from "../fanout/deltas.ts";
import type { DeliveryNotes, SubscriptionNotes } from "../fanout/delivery_notes.ts";
import type { Filter, Filters } from "../fanout/filters.ts";
import { ANY_EPOCH, NO_EPOCH } from "../../shared/rooms/epoch.ts";
import { grownRoomOf, judgedRoomOf } from "../../shared/rooms/reserved.ts";
import type { Limits } from "../../shared/config/schema.ts";
import type { EntryPoint, Flow, Position } from "../fanout/entry.ts";
import type { FlushQueue } from "./flush_queue.ts";
import type { Note, Policies } from "../message/gates.ts";
import { ROOMS_A_PIECE } from "../fanout/channel.ts";
import type { Hub, Subscriber } from "../fanout/hub.ts";
import type { HubPatterns, PatternHub } from "../fanout/patterns.ts";
import type { ShieldStats } from "../stats/stats.ts";
import { requireRoomId } from "../../shared/subjects/subject.ts";
import type { MessagePath } from "../message/pipeline.ts";
import type { Attending, PresenceRequest } from "./presence.ts";
import { subscribeRequest } from "../message/request_ref.ts";
import type { RequestRef } from "../message/request_ref.ts";
import { RoomSubscriber } from "../fanout/room_subscriber.ts";
import { inPieces } from "../../shared/turns/slices.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";

/** Close codes of a client that closed the connection, or was banned: it will not return. */
const DELIBERATE_CLOSES = [1000, 4403];

/**
 * Sends a connection the missed messages of a durable room, as fast as it reads; after that it is live. The capability
 * of durable rooms implements it (`durable/`).
 */
export type SendMissed = (
  context: SubscribeContext,
  connection: Connection,
  room_id: string,
  flow: Flow,
) => void;

/** Patterns of rooms; the patterns capability implements them (`patterns/`). */
export interface Patterns {
  of(hub: PatternHub): HubPatterns;
  readonly subscribe: typeof runSubscribe;
  /** Runs its UNSUB. Throws `invalid-room` and `not-subscribed`. */
  unsubscribe(connection: Connection, unsubscribe: Unsubscribe): Promise<void> | undefined;
}

/** What SUBs of rooms and patterns need. */
export interface SubscribeContext {
  readonly path: MessagePath;
  readonly hub: Hub;
  readonly overseer: Pick<Policies, "onSubscribe">;
  readonly filters: Filters;
  /** Record deliveries and subscriptions; absent: not recorded. */
  readonly ledger?: DeliveryNotes | undefined;
  readonly marks?: SubscriptionNotes | undefined;
  readonly flushes: FlushQueue;
  readonly attending: Attending;
  readonly limits: Limits;
  readonly stats: ShieldStats;
  readonly sendMissed: SendMissed;
  /** Makes diffs; absent: none. */
  readonly deltas?: Pick<Deltas, "wish"> | undefined;
  /** Absent: a SUB of a pattern is refused, as its name is no room's. */
  readonly patterns?: Patterns | undefined;
}

/** What ending a subscription needs. */
type LeaveContext = Pick<SubscribeContext, "hub" | "marks" | "filters" | "attending">;

/** A SUB, and the parts that it asks for. */
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
  const { caller, identity } = connection;
  requireRoomId(room_id);
  requireGrant(identity, "subscribe", room_id);
  context.path.bans.requireRoom(identity, room_id);
  const presence_request = context.attending.asked(identity, subscribe);
  const filter = context.filters.of(identity.tenant_id, subscribe.filter, room_id);
  requireLog(context, identity, subscribe);
  const allowed = { subscribe, presence_request, request: subscribeRequest(subscribe), filter };
  const admitted = context.overseer.onSubscribe(caller, judgedRoomOf(room_id), note);
  if (admitted === undefined) return join(context, connection, allowed);
  return admitted.then(() => connection.ended ? undefined : join(context, connection, allowed));
}

/** Throws if the SUB needs a log that the room does not have. */
function requireLog(
  { path: { classes } }: SubscribeContext,
  { tenant_id }: Identity,
  subscribe: Subscribe,
): void {
  const { room_id } = subscribe;
  const grown = grownRoomOf(room_id);
  if (grown !== undefined && !classes.of(tenant_id, grown).durable) {
    throw new ArqonError("not-durable", grown);
  }
  if (subscribe.positions.length > 0) {
    throw new ArqonError("invalid-field", "positions: only for a pattern");
  }
  if (positionOf(subscribe) !== undefined && !classes.of(tenant_id, room_id).durable) {
    throw new ArqonError("not-durable", room_id);
  }
}

/** Subscribes, once nothing has refused it; in a durable room, once its log knows the connection's position. */
function join(
  context: SubscribeContext,
  connection: Connection,
  allowed: Allowed,
): Promise<void> | undefined {
  const { room_id, batch } = allowed.subscribe;
  const { tenant_id } = connection.identity;
  requirePlace(context, connection, allowed);
  if (batch) connection.useBatches();
  if (!context.path.classes.of(tenant_id, room_id).durable) {
    return enter(context, connection, allowed);
  }
  return context.hub.enter(tenant_id, room_id, positionOf(allowed.subscribe), (entry_point) => {
    if (connection.ended) return;
    requirePlace(context, connection, allowed);
    enter(context, connection, allowed, entry_point);
  });
}

/** Enters the room, whose log has the connection's position; absent: the room has no log. */
function enter(
  context: SubscribeContext,
  connection: Connection,
  allowed: Allowed,
  entry_point?: EntryPoint,
): undefined {
  const { subscribe, request, presence_request, filter } = allowed;
  const { room_id, no_echo } = subscribe;
  const before = connection.subscriptions.get(room_id);
  // A SUB that only changes options keeps the connection's position.
  const is_kept = before?.flow !== undefined && positionOf(subscribe) === undefined;
  // With presence it may be refused later: then the connection stays where it is.
  const flow = entry_point === undefined || is_kept
    ? before?.flow
    : entry_point.flow(before?.flow, presence_request !== undefined);
  const wish = { no_echo, filter, deltas: context.deltas?.wish(connection, subscribe) };
  const mark = context.marks?.began(connection, room_id, { flow, filter });
  const subscriber = new RoomSubscriber(connection, wish, flow, mark);
  put(context, connection, room_id, subscriber, "resubscribed");
  const onFailure = () => {
    if (connection.subscriptions.get(room_id) !== subscriber) return;
    leave(context, connection, room_id, "refused");
  };
  const log = entry_point && flow && {
    position: () => positionResult(entry_point),
    begin: () => context.sendMissed(context, connection, room_id, flow),
  };
  if (presence_request !== undefined) {
    const restore = (other: Subscriber | undefined) => {
      if (connection.subscriptions.get(room_id) !== subscriber) return;
      if (other !== undefined) other.mark = context.marks?.began(connection, room_id, other);
      put(context, connection, room_id, other, "refused");
      if (other?.flow !== undefined) context.sendMissed(context, connection, room_id, other.flow);
    };
    const asked = { request, presence_request, subscriber, before, restore, leave: onFailure, log };
    try {
      return context.attending.ask(connection, room_id, asked);
    } catch (error) {
      restore(before);
      throw error;
    }
  }
  context.attending.of(connection, room_id)?.end(true);
  if (log === undefined) return ackAfterFlush(context, connection, request, onFailure);
  const { offset, members } = log.position();
  answer(connection, request, { offset, result: encodeUtf8(`{${members}}`) });
  log.begin();
}

/** Throws if the connection may not have the subscription, or is at its limit. */
function requirePlace(
  { path, hub, limits, filters }: SubscribeContext,
  connection: Connection,
  { subscribe: { room_id }, filter }: Allowed,
): void {
  const { identity, subscriptions } = connection;
  // A ban may have arrived while policies judged the SUB, or the log answered.
  path.bans.requireRoom(identity, room_id);
  if (filter !== undefined) {
    const before = subscriptions.get(room_id)?.filter;
    filters.requireRoom(identity.tenant_id, room_id, filter, before);
  }
  const size = subscriptions.size + (hub.patterns?.of(connection)?.size ?? 0);
  if (subscriptions.has(room_id) || size < limits.rooms_per_connection) return;
  throw new ArqonError("too-many-rooms", String(limits.rooms_per_connection));
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
  const { hub, filters, marks } = context;
  const { identity: { tenant_id }, subscriptions } = connection;
  const before = subscriptions.get(room_id);
  if (before !== undefined) marks?.left(connection, room_id, before.mark, why);
  // The new one comes first: a room never loses its Spine subscription while options change.
  if (subscriber !== undefined) hub.subscribe(tenant_id, room_id, subscriber);
  filters.hold(tenant_id, room_id, subscriber?.filter);
  filters.release(tenant_id, room_id, before?.filter);
  if (subscriber === undefined) {
    subscriptions.delete(room_id);
    hub.patterns?.of(connection)?.takeOver(room_id, before?.flow);
  } else {
    subscriptions.set(room_id, subscriber);
    hub.patterns?.of(connection)?.yieldTo(room_id);
  }
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
  const reason = REASONS.get(code ?? why) ?? REASONS.get(why) ?? "unsubscribed";
  context.attending.of(connection, room_id)?.end(deliberate, reason);
  if (why === "kick" || why === "room-ban") {
    context.hub.patterns?.of(connection)?.putOut(room_id, why);
  }
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
  yield* hub.patterns?.of(connection)?.ending() ?? [];
  for (const room_id of [...connection.subscriptions.keys()]) {
    leave(context, connection, room_id, "closed", deliberate, code);
    yield;
  }
  hub.gone.delete(connection.id);
}

/** Why a subscription ends, for the ledger: a word such as "kick" or "idle", or the reason of a refusal. */
export type LeaveWhy = string;

/** Why a member left, for the journal of members, by the close code that ended its subscription, or else by `why`. */
const REASONS = new Map<LeaveWhy | number, LeaveReason>([
  [1000, "closed"],
  [1001, "closed"],
  // A close frame without a code, as browsers send it if a page names none.
  [1005, "closed"],
  [4401, "token-ended"],
  [4403, "banned"],
  ["closed", "lost"],
  ["kick", "kicked"],
  ["room-ban", "banned"],
  // The token that granted it was replaced.
  ["not-granted", "token-ended"],
]);
