/** The HTTP API of the client listener, put together. What each route does is in the other files. */
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { createHttpHistory } from "./http_history.ts";
import { createHttpPublish } from "./http_publish.ts";
import { HttpRates } from "../rates/http_rates.ts";
import type { Parts } from "../parts.ts";
import { batchRoute } from "./batch.ts";
import { commandRoutes } from "./command_call.ts";
import { OWN_ROUTES } from "./own_routes.ts";
import { ClientTable } from "./route.ts";

/** What the HTTP API needs of the process. */
export interface ClientApiOptions {
  readonly config: Pick<Config, "limits" | "auth">;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
}

/**
 * Makes the routes of everything that takes a token, except upgrades; a user's rates apply to all of
 * them.
 */
export function startClientApi(
  { config: { limits, auth: { query_token } }, log, now }: ClientApiOptions,
  parts: Pick<Parts, "operations" | "history" | "stats" | "tenants" | "rates">,
): ClientTable {
  const { operations, history, stats, tenants } = parts;
  const rates = new HttpRates(parts.rates, now);
  const context = { ...operations.context, limits, stats, tenants, rates, query_token, log };
  return new ClientTable([
    { ...OWN_ROUTES.history, answer: createHttpHistory({ ...context, history }) },
    { ...OWN_ROUTES.publish, answer: createHttpPublish(context) },
    batchRoute(context),
    ...commandRoutes(context),
  ]);
}
