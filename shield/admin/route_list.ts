/**
 * Every route of the admin API: the tables of the kernel and of its capabilities, once. Whatever is in the list is
 * described (`openapi.ts`) and is answered by the router; a table that is not in it is neither.
 */
import { ROOM_ROUTES } from "../rooms/admin_api.ts";
import type { RoomsAdminContext } from "../rooms/admin_api.ts";
import type { AdminSide } from "../capability.ts";
import { STATUS_ROUTES } from "./admin_status.ts";
import type { StatusContext } from "./admin_status.ts";
import type { ListedRoute, ServedRoute } from "./routing/admin_routes.ts";

/** What each of the capabilities says of its routes. */
export type Described = readonly { readonly admin?: AdminSide }[];

/** The kernel's own. */
export function kernelRoutes(status: StatusContext, rooms: RoomsAdminContext): ServedRoute[] {
  return [...STATUS_ROUTES.serve(status), ...ROOM_ROUTES.serve(rooms)];
}

/** Every route of the admin API that takes a token. */
export function listedRoutes(capabilities: Described): ListedRoute[] {
  const tables = capabilities.flatMap(({ admin }) => admin?.tables ?? []);
  return [STATUS_ROUTES, ROOM_ROUTES, ...tables].flatMap((table) => [...table.list()]);
}
