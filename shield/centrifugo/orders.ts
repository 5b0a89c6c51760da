/**
 * The server API's orders about the clients of a user. Each Shield that has such clients receives the order and
 * executes it for them.
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

/** The connections that an order handles in one slice. */
const A_PIECE = 16;

/** An order about a user's clients, except those in `whitelist`; about one only if `client` is not empty. */
export interface Order {
  readonly tenant_id: string;
  readonly user_id: string;
  readonly client: string;
  readonly whitelist: readonly string[];
  /** The code and reason that end their connections; with code 0 the bus uses its own. */
  readonly disconnect?: { readonly code: number; readonly reason: string } | undefined;
  /** The channel of a pending server-side subscription to cancel. */
  readonly unsubscribe?: string | undefined;
  /** A subscription until `until_ms`, Unix ms; 0: as long as the client is connected. */
  readonly subscribe?:
    | ServerSide & { readonly until_ms: number; readonly resumed: Resumed }
    | undefined;
}

/** Sends an order to Shields. Rejects with `spine-unavailable` if one of them does not confirm it. */
export type SendOrder = (nodes: Iterable<string>, order: Order) => Promise<void>;

/** The dependencies of orders in the process. */
export interface OrderContext extends Pick<Parts, "node_id" | "connections" | "removals"> {
  readonly forwarding: Pick<Forwarding, "listen" | "forward">;
  readonly log: Pick<Logger, "info">;
}

/** Executes an order in slices: a user may have thousands of connections. */
async function carryOut({ connections, removals, log }: OrderContext, order: Order): Promise<void> {
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
    // Clients of the bus have no such codes. Whether they reconnect depends on the code all the same.
    if (own === undefined && code !== 0 && comesAgain(code)) connection.sendAway(0);
    else removals.disconnect(id);
    log.info("a backend ended a connection", { connection: id, tenant_id, user: user_id, code });
  }
}

/** Subscribes to orders and returns their sender. Rejects with `spine-unavailable`. */
export async function startOrders(context: OrderContext): Promise<SendOrder> {
  const { node_id, forwarding } = context;
  await forwarding.listen(
    "centrifugo-order",
    (_, body) => carryOut(context, JSON.parse(new TextDecoder().decode(body))),
  );
  return async (nodes, order) => {
    const body = new TextEncoder().encode(JSON.stringify(order));
    await Promise.all(Array.from(nodes, async (node) => {
      if (node === node_id) return await carryOut(context, order);
      await forwarding.forward("centrifugo-order", node, {}, body).catch((error) => {
        // The Shield has stopped meanwhile, and its clients are on other Shields.
        if (!(error instanceof ArqonError) || error.reason !== "not-found") throw error;
      });
    }));
  };
}
