/**
 * Every route of the admin API: the tables of the kernel and of its capabilities. The router and the description
 * (`openapi.ts`) both use this list, so every served route is described.
 */
import { ROOM_ROUTES } from "../rooms/admin_api.ts";
import type { RoomsAdminContext } from "../rooms/admin_api.ts";
import type { AdminSide } from "../capability.ts";
import { STATUS_ROUTES } from "./admin_status.ts";
import type { StatusContext } from "./admin_status.ts";
import type { ListedRoute, ServedRoute } from "./routing/admin_routes.ts";

/** The admin side of each capability. */
export type Described = readonly { readonly admin?: AdminSide }[];

/** The kernel's own routes. */
export function kernelRoutes(status: StatusContext, rooms: RoomsAdminContext): ServedRoute[] {
  return [...STATUS_ROUTES.serve(status), ...ROOM_ROUTES.serve(rooms)];
}

/** Every route of the admin API that requires a token. */
export function listedRoutes(capabilities: Described): ListedRoute[] {
  const tables = capabilities.flatMap(({ admin }) => admin?.tables ?? []);
  return [STATUS_ROUTES, ROOM_ROUTES, ...tables].flatMap((table) => [...table.list()]);
}
