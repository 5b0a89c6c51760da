/** Every route of the admin API: the router and the description (`openapi.ts`) have the same ones. */
import type { AdminSide } from "../capability.ts";
import { STATUS_ROUTES } from "./admin_status.ts";
import type { ListedRoute } from "./routing/admin_routes.ts";

/** The admin side of each capability. */
export type Described = readonly { readonly admin?: AdminSide }[];

/** Every route of the admin API that requires a token. */
export function listedRoutes(capabilities: Described): ListedRoute[] {
  const tables = capabilities.flatMap(({ admin }) => admin?.tables ?? []);
  return [STATUS_ROUTES, ...tables].flatMap((table) => [...table.list()]);
}
