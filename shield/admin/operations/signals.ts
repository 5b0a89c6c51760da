/**
 * Receives the signals of Brains and backends on `sys.t.{tenant}.signals`, as every Shield does, and ends the
 * connections or subscriptions that they name. `signal_writes.ts` stores their bans and revocations. Signals that
 * clients publish to a room are messages and have no effect here.
 */
import type { Env } from "../../../shared/env.ts";
import { connectionId } from "../../../shared/ids.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { everyTenant } from "../../../shared/subjects/subject.ts";
import type { Parts } from "../../capability.ts";
import type { Connection } from "../../connection/connection.ts";
import type { ConnectionTable } from "../../connection/connection_table.ts";
import type { Removable, Removals } from "../../connection/removals.ts";
import { type Order, readOrder } from "./signal_order.ts";
import type { SignalWrites } from "./signal_writes.ts";

interface SignalsOptions<C extends Removable> extends Pick<Env, "log" | "now" | "random"> {
  readonly spine: Pick<Spine, "subscribe" | "onEvent">;
  readonly connections: ConnectionTable<C>;
  readonly removals: Pick<Removals<C>, "kick" | "order">;
  readonly presence: Pick<Parts["presence"], "endGrace">;
  readonly writes: Pick<SignalWrites, "receive">;
}

/**
 * Subscribes to signals, which takes effect on the server with the next flush, until the returned function is called.
 * Throws as the Spine throws.
 */
export function receiveSignals<C extends Removable = Connection>(
  options: SignalsOptions<C>,
): () => void {
  return receiveAll(options, (message) => {
    const order = readOrder(message, options.now());
    // The Shield that stores the order reports its problem.
    if ("problem" in order) return;
    if (order.kind === "DISCONNECT") disconnect(options, order);
    else options.writes.receive(order);
  });
}

/**
 * Receives every message, until the returned function is called. It subscribes with its own queue group. When a server
 * of a NATS cluster stalls and resumes, it redelivers its backlog of the shared group to another member, and
 * subscribers without a group then receive those messages twice. After a reconnect the group has a new name: the
 * backlog of the previous connection would arrive after newer messages.
 */
function receiveAll(
  { spine, random, log }: Pick<SignalsOptions<Removable>, "spine" | "random" | "log">,
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
function disconnect<C extends Removable>(
  { connections, removals, presence }: Omit<SignalsOptions<C>, "spine" | "writes">,
  { tenant_id, room_id, target, target_kinds, reason }: Order,
): void {
  const hit = new Set(
    target_kinds.includes("user") ? connections.ofUser(tenant_id, target) : [],
  );
  const named = target_kinds.includes("connection")
    ? connections.ofTenant(tenant_id, target)
    : undefined;
  if (named !== undefined) hit.add(named);
  if (room_id === undefined) return removals.order(tenant_id, [...hit], reason);
  removals.kick(tenant_id, [...hit], room_id, reason);
  presence.endGrace(tenant_id, room_id, target);
}
