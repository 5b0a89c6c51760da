/**
 * What each client operation does. One function an operation, all called by the connection's FIFO
 * (`fifo.ts`): undefined means done, a promise holds the FIFO until it settles.
 */
import { ArqonError, encodePong, encodeTextPong } from "@arqon/proto";
import type { Ack, ClientOperation, Refresh, Subscribe, Uint64, Unsubscribe } from "@arqon/proto";
import type { Authenticator } from "./authenticate.ts";
import { canAct, requireGrant, requireSameUser } from "./authorize.ts";
import { command } from "./command.ts";
import { EMPTY_ACK } from "./connection.ts";
import type { Connection, Limits, RequestRef } from "./connection.ts";
import type { Commit } from "./fifo.ts";
import type { FlushQueue } from "./flush_queue.ts";
import type { Hub, Subscriber } from "./hub.ts";
import { admit, NONE_ADDED, requireRoomId, send } from "./pipeline.ts";
import type { MessagePath } from "./pipeline.ts";
import type { HeaderPair, Overseer } from "./policy/overseer.ts";
import { Attendance } from "./presence/attendance.ts";
import type { AttendanceContext } from "./presence/attendance.ts";
import { presenceWish } from "./presence/wish.ts";
import type { PresenceWish } from "./presence/wish.ts";

/** The client closed the connection, or was banned: nobody is coming back. */
const DELIBERATE_CLOSES = [1000, 4403];

/** What the operations need of the process. */
export interface OperationContext {
  readonly path: MessagePath;
  readonly hub: Hub;
  readonly flushes: FlushQueue;
  readonly authenticator: Authenticator;
  readonly overseer: Pick<Overseer, "onSubscribe">;
  readonly attendance: AttendanceContext;
  readonly limits: Limits;
}

/**
 * Looks at one operation of the FIFO. A plain publish is admitted here, beside others; everything else
 * is looked at when its turn has come. Throws or rejects with what refuses it.
 */
export function prepareOperation(
  context: OperationContext,
  connection: Connection,
  operation: ClientOperation,
): Commit | Promise<Commit> {
  if (operation.kind !== "publish" || operation.envelope.command !== undefined) {
    return () => runOperation(context, connection, operation);
  }
  const { envelope } = operation;
  requireValid(context, connection);
  const admitted = admit(context.path, connection.caller, envelope);
  if (admitted === undefined) return () => runPublish(context, connection, envelope, NONE_ADDED);
  return admitted.then((added) => () => runPublish(context, connection, envelope, added));
}

/** Throws `token-expired` when the connection's token has ended. */
function requireValid({ path }: OperationContext, connection: Connection): void {
  if (path.now() >= connection.identity.expires_ms) throw new ArqonError("token-expired");
}

function runOperation(
  context: OperationContext,
  connection: Connection,
  operation: ClientOperation,
): Promise<void> | undefined {
  if (connection.ended) return undefined;
  requireValid(context, connection);
  switch (operation.kind) {
    case "publish":
      return runCommand(context, connection, operation.envelope);
    case "subscribe":
      return runSubscribe(context, connection, operation.subscribe);
    case "unsubscribe":
      return runUnsubscribe(context, connection, operation.unsubscribe);
    case "refresh":
      return runRefresh(context, connection, operation.refresh);
    case "ping":
      connection.send(
        connection.text ? encodeTextPong(operation.body) : encodePong(operation.body),
      );
      return undefined;
    case "pong":
      return undefined;
  }
}

type Publication = Extract<ClientOperation, { kind: "publish" }>["envelope"];

/** Publishes what was admitted; its token may have ended while policies looked at it. */
function runPublish(
  context: OperationContext,
  connection: Connection,
  envelope: Publication,
  added: readonly HeaderPair[],
): undefined {
  if (connection.ended) return;
  requireValid(context, connection);
  const own = connection.subscriptions.get(envelope.room_id);
  const publisher = {
    caller: connection.caller,
    origin: own?.no_echo === true ? connection.id : undefined,
  };
  send(context.path, publisher, envelope, added);
  if (envelope.ack_requested || envelope.request_id !== 0) {
    ackAfterFlush(context, connection, envelope);
  }
}

/** Acknowledges once the Spine has everything; refuses with 503 when it cannot say so. */
function ackAfterFlush(
  context: OperationContext,
  connection: Connection,
  request: RequestRef,
  onFailure?: () => void,
): undefined {
  connection.hold(0);
  context.flushes.push((error) => {
    connection.release(0);
    if (connection.ended) return;
    if (error === undefined) return answer(connection, request);
    onFailure?.();
    connection.refuse(request, error);
  });
}

function answer(connection: Connection, request: RequestRef, result?: Uint8Array): void {
  if (!request.ack_requested && request.request_id === 0) return;
  const ack: Ack = { ...EMPTY_ACK, request_id: request.request_id };
  connection.ack(result === undefined ? ack : { ...ack, result });
}

/**
 * Commands of one connection and room run one after another, but never hold up the connection's
 * messages while the Brain thinks: only their start passes the FIFO.
 */
function runCommand(
  context: OperationContext,
  connection: Connection,
  envelope: Publication,
): undefined {
  const room = envelope.room_id;
  const size_bytes = envelope.bytes.length;
  connection.hold(size_bytes);
  const before = connection.commands.get(room) ?? Promise.resolve();
  const run = before.then(async () => {
    if (connection.ended) return;
    try {
      const { command_timeout_ms } = context.limits;
      const options = { timeout_ms: command_timeout_ms, origin: connection.id };
      const ack = await command(context.path, connection.caller, envelope, options);
      answerCommand(connection, envelope, ack);
    } catch (error) {
      connection.refuse(envelope, error);
    }
  }).finally(() => {
    connection.release(size_bytes);
    if (connection.commands.get(room) === run) connection.commands.delete(room);
  });
  connection.commands.set(room, run);
  return undefined;
}

/** A refusal by the Brain takes the same form as one by the Shield: an ERR when nobody asked for an ACK. */
function answerCommand(connection: Connection, request: RequestRef, ack: Ack): void {
  if (connection.ended) return;
  if (request.ack_requested || request.request_id !== 0) connection.ack(ack);
  else if (ack.code !== 0) connection.err(ack);
}

function runSubscribe(
  context: OperationContext,
  connection: Connection,
  subscribe: Subscribe,
): Promise<void> | undefined {
  const { room_id } = subscribe;
  requireRoomId(room_id);
  requireGrant(connection.identity, "subscribe", room_id);
  context.path.bans.requireRoom(connection.identity, room_id);
  if (subscribe.presence) requireGrant(connection.identity, "presence", room_id);
  const wish = presenceWish(subscribe, context.limits);
  if (!isZero(subscribe.after_offset) || subscribe.epoch !== "") {
    throw new ArqonError("not-durable", room_id);
  }
  const allowed = context.overseer.onSubscribe(connection.caller, room_id);
  if (allowed === undefined) return join(context, connection, subscribe, wish);
  return allowed.then(() =>
    connection.ended ? undefined : join(context, connection, subscribe, wish)
  );
}

/** The subscription itself, once everything has allowed it. */
function join(
  context: OperationContext,
  connection: Connection,
  subscribe: Subscribe,
  wish: PresenceWish | undefined,
): undefined {
  const { room_id, no_echo } = subscribe;
  // A ban may have come while policies looked at it.
  context.path.bans.requireRoom(connection.identity, room_id);
  const before = connection.subscriptions.get(room_id);
  const { rooms_per_connection } = context.limits;
  if (before === undefined && connection.subscriptions.size >= rooms_per_connection) {
    throw new ArqonError("too-many-rooms", String(rooms_per_connection));
  }
  const subscriber: Subscriber = {
    connection_id: connection.id,
    text: connection.text,
    no_echo,
    send: (frame) => connection.send(frame),
  };
  put(context, connection, room_id, subscriber);
  const request = { request_id: subscribe.request_id, ack_requested: false };
  const is_current = () => connection.subscriptions.get(room_id) === subscriber;
  const onFailure = () => {
    if (is_current()) leave(context, connection, room_id);
  };
  if (wish === undefined) {
    connection.attendances.get(room_id)?.end(true);
    return ackAfterFlush(context, connection, request, onFailure);
  }
  const restore = (other: Subscriber | undefined) => {
    if (is_current()) put(context, connection, room_id, other);
  };
  try {
    const attendance = connection.attendances.get(room_id) ??
      new Attendance(context.attendance, connection, room_id);
    attendance.ask({ request, wish, subscriber, before, restore, leave: onFailure });
  } catch (error) {
    restore(before);
    throw error;
  }
}

/** Puts another subscriber in the place of the room's present one, either of which may be none. */
function put(
  { hub }: Pick<OperationContext, "hub">,
  { identity, subscriptions }: Connection,
  room_id: string,
  subscriber: Subscriber | undefined,
): void {
  const before = subscriptions.get(room_id);
  // The new one first: a room never loses its Spine subscription while options change.
  if (subscriber !== undefined) hub.subscribe(identity.tenant_id, room_id, subscriber);
  if (before !== undefined) hub.unsubscribe(identity.tenant_id, room_id, before);
  if (subscriber === undefined) subscriptions.delete(room_id);
  else subscriptions.set(room_id, subscriber);
}

function runUnsubscribe(
  context: OperationContext,
  connection: Connection,
  { room_id, request_id }: Unsubscribe,
): undefined {
  requireRoomId(room_id);
  if (!connection.subscriptions.has(room_id)) throw new ArqonError("not-subscribed", room_id);
  leave(context, connection, room_id);
  answer(connection, { request_id, ack_requested: false });
}

/**
 * Ends one subscription, and the connection's presence in the room: not deliberately when the
 * connection was lost. The room may be unknown.
 */
export function leave(
  context: Pick<OperationContext, "hub">,
  connection: Connection,
  room_id: string,
  deliberate = true,
): void {
  connection.attendances.get(room_id)?.end(deliberate);
  if (connection.subscriptions.has(room_id)) put(context, connection, room_id, undefined);
}

/** The connection has ended with this close code: all its subscriptions end. */
export function leaveAll(
  context: Pick<OperationContext, "hub">,
  connection: Connection,
  code: number,
): void {
  const deliberate = DELIBERATE_CLOSES.includes(code);
  for (const room_id of [...connection.subscriptions.keys()]) {
    leave(context, connection, room_id, deliberate);
  }
}

/** A refused refresh ends the connection: its holder is not who it was. */
async function runRefresh(
  context: OperationContext,
  connection: Connection,
  { token, request_id }: Refresh,
): Promise<void> {
  const next = await context.authenticator.authenticate(token).catch((error) => {
    const unavailable = error instanceof ArqonError && error.code === 503;
    const detail = error instanceof ArqonError ? error.message : "internal error";
    throw unavailable ? error : new ArqonError("refresh-refused", detail, { cause: error });
  });
  if (connection.ended) return;
  requireSameUser(connection.identity, next);
  connection.caller = { ...connection.caller, identity: next };
  for (const room_id of [...connection.subscriptions.keys()]) {
    if (canAct(next, "subscribe", room_id)) continue;
    leave(context, connection, room_id);
    connection.fail(new ArqonError("not-granted", `subscribe in ${room_id}`));
  }
  for (const [room_id, attendance] of [...connection.attendances]) {
    if (canAct(next, "presence", room_id)) continue;
    attendance.end(true);
    connection.fail(new ArqonError("not-granted", `presence in ${room_id}`));
  }
  const result = JSON.stringify({ token_expires_ms: next.expires_ms });
  answer(connection, { request_id, ack_requested: false }, new TextEncoder().encode(result));
}

function isZero(value: Uint64): boolean {
  return value === 0 || value === 0n;
}
