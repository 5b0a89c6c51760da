/**
 * What the server API does to the clients of a user: an order to each Shield that has some of them, which carries it out
 * for all that it has.
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../../shared/logs/log.ts";
import { slice } from "../../shared/turns/slices.ts";
import type { Forwarding } from "../http/forwarding.ts";
import type { Parts } from "../capability.ts";
import { CentrifugoSocket } from "./centrifugo_socket.ts";
import { comesAgain } from "./codes.ts";
import type { Resumed } from "./messages.ts";
import type { ServerSide } from "./subscription.ts";

/** Connections that an order is carried out for in one piece. */
const A_PIECE = 16;

/** What is done to the clients of a user, but for some; with `client` to that one alone. */
export interface Order {
  readonly tenant_id: string;
  readonly user_id: string;
  readonly client: string;
  readonly whitelist: readonly string[];
  /** Their connections end with this; the code may be 0. */
  readonly disconnect?: { readonly code: number; readonly reason: string } | undefined;
  /** To this channel they are subscribed no longer, where that is still under way. */
  readonly unsubscribe?: string | undefined;
  /** They are subscribed, until then, Unix ms; 0: as long as they are connected. */
  readonly subscribe?:
    | ServerSide & { readonly until_ms: number; readonly resumed: Resumed }
    | undefined;
}

/** Has Shields carry an order out. Rejects with `spine-unavailable` when one of them does not say that it did. */
export type SendOrder = (nodes: Iterable<string>, order: Order) => Promise<void>;

/** What orders need of the process. */
export interface OrderContext extends Pick<Parts, "node_id" | "connections" | "signals"> {
  readonly forwarding: Pick<Forwarding, "hear" | "forward">;
  readonly log: Pick<Logger, "info">;
}

/** In slices: a user may have thousands. */
async function carryOut({ connections, signals, log }: OrderContext, order: Order): Promise<void> {
  const { tenant_id, user_id, client, whitelist, disconnect, subscribe, unsubscribe } = order;
  for (const [at, connection] of connections.ofUser(tenant_id, user_id).entries()) {
    if (at % A_PIECE === 0) await slice(tenant_id);
    const { id, socket } = connection;
    if (connection.ended || client !== "" && id !== client || whitelist.includes(id)) continue;
    const own = socket instanceof CentrifugoSocket ? socket : undefined;
    if (subscribe !== undefined) {
      const { until_ms, resumed, ...server } = subscribe;
      own?.serve(server, until_ms || Infinity, resumed);
    }
    if (unsubscribe !== undefined) own?.unserve(unsubscribe);
    if (disconnect === undefined) continue;
    const { code, reason } = disconnect;
    if (code !== 0) own?.endAs(code, reason);
    // Clients of the bus have no such codes, but come again or not all the same.
    if (own === undefined && code !== 0 && comesAgain(code)) connection.sendAway(0);
    else signals.disconnect(id);
    log.info("a backend ended a connection", { connection: id, tenant_id, user: user_id, code });
  }
}

/** Begins to carry out orders. Rejects with `spine-unavailable`. */
export async function startOrders(context: OrderContext): Promise<SendOrder> {
  const { node_id, forwarding } = context;
  await forwarding.hear(
    "centrifugo-order",
    (_, body) => carryOut(context, JSON.parse(new TextDecoder().decode(body))),
  );
  return async (nodes, order) => {
    const body = new TextEncoder().encode(JSON.stringify(order));
    await Promise.all(Array.from(nodes, async (node) => {
      if (node === node_id) return await carryOut(context, order);
      await forwarding.forward("centrifugo-order", node, {}, body).catch((error) => {
        // The Shield has ended meanwhile, and its clients are elsewhere.
        if (!(error instanceof ArqonError) || error.reason !== "not-found") throw error;
      });
    }));
  };
}
