/** Assembles the HTTP API of the client listener. The other files have the routes. */
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { createHttpPublish } from "./http_publish.ts";
import { HttpRates } from "../rates/http_rates.ts";
import type { Parts } from "../capability.ts";
import { batchRoute } from "./batch.ts";
import { commandRoutes } from "./command_call.ts";
import { startTickets } from "./ticket_store.ts";
import { ticketRoute } from "./tickets.ts";
import type { TicketEntry } from "./tickets.ts";
import { OWN_ROUTES } from "./own_routes.ts";
import { ClientTable } from "./route.ts";
import type { ClientRoute } from "./route.ts";

/** The dependencies and settings of `startClientApi`. */
export interface ClientApiOptions extends Pick<Env, "registry" | "log" | "now" | "random"> {
  readonly config: Pick<Config, "limits" | "auth" | "sse" | "server">;
  readonly spine: Pick<Spine, "keyValue" | "request" | "subscribe" | "flush">;
}

/** The parts of the client listener besides sockets. */
export interface ClientApi {
  readonly api: ClientTable;
  /** The owner of a ticket, in place of a token. */
  readonly ticketed: TicketEntry;
}

/**
 * Makes all routes that require a token, except upgrades; a user's rates apply to all of them. `more` are the routes of
 * capabilities.
 */
export function startClientApi(
  options: ClientApiOptions,
  parts: Pick<Parts, "operations" | "stats" | "tenants" | "rates">,
  more: readonly ClientRoute[] = [],
): ClientApi {
  const { config: { limits, auth: { query_token } }, log, now } = options;
  const { operations, stats, tenants } = parts;
  const rates = new HttpRates(parts.rates, now);
  const context = { ...operations.context, limits, stats, tenants, rates, query_token, log };
  const ticketed = startTickets(options, operations.context);
  const { tickets } = ticketed;
  const api = new ClientTable([
    ...more,
    { ...OWN_ROUTES.publish, answer: createHttpPublish(context) },
    batchRoute(context),
    ...commandRoutes(context),
    ticketRoute({ ...context, tickets, rooms_max: options.config.sse.rooms }),
  ]);
  return { api, ticketed };
}
