/**
 * Applies orders to open connections: signals of the Brain and of backends on `sys.t.{tenant}.signals`, bans,
 * revocations, and orders of operators. `bans.ts` rejects banned users later on; a capability stores the bans and
 * revocations of signals. Signals that clients publish to a room are messages and have no effect here.
 */
import type { Env } from "../../shared/env.ts";
import { ArqonError, encodeMsg, encodeTextMessage, readEnvelope } from "@arqon/proto";
import type { PlainSignal } from "@arqon/proto";
import { EVERY_ROOM } from "../../shared/records/bans.ts";
import { connectionId, type Random } from "../../shared/ids.ts";
import { companionsOf } from "../../shared/rooms/reserved.ts";
import type { Revocation } from "../../shared/records/revocations.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { inPieces, slice, STRANGERS } from "../../shared/turns/slices.ts";
import { everyTenant } from "../../shared/subjects/subject.ts";
import { systemEnvelope } from "../../shared/records/system_envelope.ts";
import { banRefusal } from "../auth/bans.ts";
import type { ArrivedBan } from "../auth/ban_table.ts";
import type { Connection } from "../connection/connection.ts";
import type { ConnectionTable } from "../connection/connection_table.ts";
import type { Frame } from "../fanout/frame_bytes.ts";
import type { Hub } from "../fanout/hub.ts";
import type { Identity } from "../auth/identity.ts";
import { notGranted } from "../auth/authorize.ts";
import { revokedRefusal } from "../auth/revocations.ts";
import { type Order, readOrder } from "./signal_order.ts";
import { bump, type ShieldStats } from "../stats/stats.ts";

/** Connections that one slice handles: each affected one gets frames, and leaves its rooms or ends. */
const A_PIECE = 16;

/** What signals need of a connection. */
export type Signalled = Pick<
  Connection,
  | "id"
  | "identity"
  | "more_grants"
  | "text"
  | "ended"
  | "send"
  | "fail"
  | "subscriptions"
>;

interface SignalsOptions<C extends Signalled = Connection> extends Pick<Env, "log" | "now"> {
  readonly spine: Pick<Spine, "subscribe" | "onEvent">;
  readonly connections: ConnectionTable<C>;
  readonly hub: Pick<Hub, "patterns">;
  /** Ends the connection's subscription to a room, and its membership. */
  readonly leave: (
    connection: C,
    room_id: string,
    why: "kick" | "room-ban" | "not-granted",
  ) => void;
  readonly stats: Pick<ShieldStats, "kicks">;
  readonly random: Random;
}

/** The running signals of a process. */
export interface Signals {
  /** Ends the connections of a banned user. The cost grows with the user's connections. */
  onBan(ban: ArrivedBan): void;
  /** Ends one connection for an operator; false if it is not on this Shield. */
  disconnect(connection_id: string): boolean;
  /** Ends the connections with revoked tokens, as `find` reports, and what revoked ones have lent. It checks all. */
  onRevocations(find: (identity: Identity) => Revocation | undefined): void;
  /** Passes each order on that is not carried out here: every Shield receives every order. */
  onOrder(receive: (order: Order) => void): void;
  close(): void;
}

/** Subscribes to signals, which takes effect on the server with the next flush. Throws as the Spine throws. */
export function startSignals<C extends Signalled>(options: SignalsOptions<C>): Signals {
  const { connections, stats } = options;
  let pass = (_order: Order): void => {};

  /** Receives a signal, as every Shield does; the one that stores it reports its problem. */
  function receive(message: SpineMessage): void {
    const order = readOrder(message, options.now());
    if ("problem" in order) return;
    switch (order.kind) {
      case "DISCONNECT":
        return disconnectAll(options, order);
      case "BAN":
      case "UNBAN":
      case "REVOKE":
        return pass(order);
      default:
        order.kind satisfies never;
    }
  }

  const close = receiveAll(options, receive);
  return {
    close,
    onOrder: (receive) => pass = receive,
    onBan(ban) {
      const { tenant_id, room_id, user_id, reason, until_ms } = ban;
      const hit = connections.ofUser(tenant_id, user_id);
      if (hit.length === 0) return;
      if (room_id !== EVERY_ROOM) {
        const signal: PlainSignal = { kind: "BAN", target: room_id, reason, until_ms };
        return putOut(options, hit, tenant_id, room_id, signal, "room-ban");
      }
      const signal: PlainSignal = { kind: "BAN", target: user_id, reason, until_ms };
      const frame = framesOf(options, tenant_id, "", signal);
      forEach(options, tenant_id, hit, (connection) => {
        bump(stats.kicks, "ban");
        connection.send(frame(connection.text));
        connection.fail(banRefusal(room_id, ban));
      });
    },
    disconnect(connection_id) {
      const connection = connections.get(connection_id);
      if (connection === undefined || connection.ended) return false;
      const refusal = new ArqonError("disconnected", "by an operator");
      endOne(options, connection, "operator", "an operator ended the connection", refusal);
      return true;
    },
    onRevocations(find) {
      forEach(options, STRANGERS, [...connections], (connection) => {
        const revocation = find(connection.identity);
        if (revocation !== undefined) return endRevoked(options, connection, revocation);
        endLent(options, connection, (lender) => find(lender) !== undefined);
      });
    },
  };
}

/**
 * Calls `act` for each open connection, in time slices of the tenant; the first slice begins at once if no other runs.
 * A user may have thousands of connections, and thousands of signals may arrive together.
 */
function forEach<C extends Signalled>(
  { log }: Pick<SignalsOptions, "log">,
  tenant_id: string,
  all: readonly C[],
  act: (connection: C) => void,
): void {
  function* steps() {
    for (const connection of all) {
      if (!connection.ended) act(connection);
      yield;
    }
  }
  const failed = (error: unknown) =>
    log.error("a signal was not applied to all connections", { tenant_id, error });
  const run = () => inPieces(tenant_id, steps(), A_PIECE);
  const turn = slice(tenant_id);
  (turn === undefined ? run() : turn.then(run))?.catch(failed);
}

/**
 * Receives every message, until the returned function is called. It subscribes with its own queue group. When a server
 * of a NATS cluster stalls and resumes, it redelivers its backlog of the shared group to another member, and
 * subscribers without a group then receive those messages twice. After a reconnect the group has a new name: the
 * backlog of the previous connection would arrive after newer messages.
 */
function receiveAll(
  { spine, random, log }: Pick<SignalsOptions, "spine" | "random" | "log">,
  receive: (message: SpineMessage) => void,
): () => void {
  const join = () => {
    const queue = `shield-${connectionId(random)}`;
    return spine.subscribe(everyTenant("signals"), receive, { queue });
  };
  let subscription = join();
  const stopEvents = spine.onEvent((event) => {
    if (event.type !== "state" || event.status.state !== "connected") return;
    subscription.unsubscribe();
    try {
      subscription = join();
    } catch (error) {
      // The connection was lost again meanwhile; the next connect joins.
      log.warn("control signals are not received", { error });
    }
  });
  return () => {
    stopEvents();
    subscription.unsubscribe();
  };
}

/** Ends the target's connections or, for one room, their subscriptions and membership. */
function disconnectAll<C extends Signalled>(options: SignalsOptions<C>, order: Order): void {
  const { tenant_id, room_id, target, target_kinds, reason } = order;
  const hit = new Set(
    target_kinds.includes("user") ? options.connections.ofUser(tenant_id, target) : [],
  );
  const named = target_kinds.includes("connection")
    ? options.connections.ofTenant(tenant_id, target)
    : undefined;
  if (named !== undefined) hit.add(named);
  if (room_id !== undefined) {
    const signal: PlainSignal = { kind: "DISCONNECT", target: room_id, reason, until_ms: 0 };
    return putOut(options, [...hit], tenant_id, room_id, signal, "kick");
  }
  const detail = reason === "" ? "by a backend" : `by a backend: ${reason}`;
  forEach(options, tenant_id, [...hit], (connection) => {
    endOne(options, connection, "signal", reason, new ArqonError("disconnected", detail));
  });
}

function endOne<C extends Signalled>(
  options: SignalsOptions<C>,
  connection: C,
  cause: "operator" | "signal",
  reason: string,
  refusal: ArqonError,
): void {
  const { tenant_id } = connection.identity;
  const signal: PlainSignal = { kind: "DISCONNECT", target: connection.id, reason, until_ms: 0 };
  bump(options.stats.kicks, cause);
  connection.send(framesOf(options, tenant_id, "", signal)(connection.text));
  connection.fail(refusal);
}

/**
 * Ends connections whose tokens are revoked. The signal has the reason for people; the following refusal tells programs
 * to get another token.
 */
function endRevoked<C extends Signalled>(
  options: SignalsOptions<C>,
  connection: C,
  revocation: Revocation,
): void {
  const { tenant_id, user_id } = connection.identity;
  const { reason, until_ms } = revocation;
  const signal: PlainSignal = { kind: "REVOKE", target: user_id, reason, until_ms };
  bump(options.stats.kicks, "revoked");
  connection.send(framesOf(options, tenant_id, "", signal)(connection.text));
  connection.fail(revokedRefusal(revocation));
}

/** Ends the subscriptions that revoked tokens beside the connection's own have granted. */
function endLent<C extends Signalled>(
  { leave }: Pick<SignalsOptions<C>, "leave">,
  connection: C,
  isRevoked: (lender: Identity) => boolean,
): void {
  for (const { room, lender } of connection.more_grants ?? []) {
    if (lender === undefined || !isRevoked(lender)) continue;
    leave(connection, room, "not-granted");
    connection.fail(notGranted("subscribe", room));
  }
}

/**
 * Ends the connections' subscriptions to a room and to its companions: growing values, room values and presence.
 * Subscribed connections receive the reason.
 */
function putOut<C extends Signalled>(
  options: SignalsOptions<C>,
  hit: readonly C[],
  tenant_id: string,
  room_id: string,
  signal: PlainSignal,
  cause: "kick" | "room-ban",
): void {
  const rooms = [room_id, ...companionsOf(room_id)].map((room) => ({
    room,
    frame: framesOf(options, tenant_id, room, { ...signal, target: room }),
  }));
  forEach(options, tenant_id, hit, (connection) => {
    const patterns = options.hub.patterns?.of(connection);
    for (const { room, frame } of rooms) {
      if (!connection.subscriptions.has(room) && patterns?.covers(room) !== true) continue;
      bump(options.stats.kicks, cause);
      connection.send(frame(connection.text));
      options.leave(connection, room, cause);
    }
  });
}

/** The signal as a frame, encoded once for each needed form. */
function framesOf(
  stamps: Pick<SignalsOptions, "now" | "random">,
  tenant_id: string,
  room_id: string,
  signal: PlainSignal,
): (text: boolean) => Frame {
  const envelope = systemEnvelope(stamps, { tenant_id, room_id, signal });
  let binary: Frame | undefined;
  let json: Frame | undefined;
  return (text) =>
    text ? (json ??= encodeTextMessage(readEnvelope(envelope))) : (binary ??= encodeMsg(envelope));
}
