/** Assembles the HTTP API of the client listener. The other files have the routes. */
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { createHttpPublish } from "./http_publish.ts";
import { HttpRates } from "../rates/http_rates.ts";
import type { Parts } from "../capability.ts";
import { commandRoutes } from "./command_call.ts";
import type { CommandRoute } from "./http_commands.ts";
import { OWN_ROUTES } from "./own_routes.ts";
import { ClientTable } from "./route.ts";
import type { ClientRoute } from "./route.ts";

/** The dependencies and settings of `startClientApi`. */
export interface ClientApiOptions extends Pick<Env, "log" | "now"> {
  readonly config: Pick<Config, "limits" | "auth">;
}

/**
 * Makes all routes that require a token, except upgrades; a user's rates apply to all of them. `routes` and
 * `commands` are those of capabilities.
 */
export function startClientApi(
  options: ClientApiOptions,
  parts: Pick<Parts, "operations" | "stats" | "tenants" | "rates">,
  routes: readonly ClientRoute[] = [],
  commands: readonly CommandRoute[] = [],
): ClientTable {
  const { config: { limits, auth: { query_token } }, log, now } = options;
  const { operations, stats, tenants } = parts;
  const rates = new HttpRates(parts.rates, now);
  const context = { ...operations.context, limits, stats, tenants, rates, query_token, log };
  return new ClientTable([
    ...routes,
    { ...OWN_ROUTES.publish, answer: createHttpPublish(context) },
    ...commandRoutes(context, commands),
  ]);
}
