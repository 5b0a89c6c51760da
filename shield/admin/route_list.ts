/** Every route of the admin API, from the tables of its parts. What is done with them is elsewhere. */
import { STATUS_ROUTES } from "./operations/admin_status.ts";
import type { ListedRoute } from "./routing/admin_routes.ts";
import { AUDIT_ROUTES } from "../audit/api.ts";
import { BACKUP_ROUTES } from "./operations/backup_api.ts";
import { BAN_ROUTES } from "./operations/bans_api.ts";
import { MIRROR_ROUTES } from "../mirror/admin_api.ts";
import { POLICY_ROUTES } from "../policy/admin_api.ts";
import { REVOCATION_ROUTES } from "./operations/revocations_api.ts";
import { ROOM_ROUTES } from "../rooms/admin_api.ts";
import { SCHEMA_ROUTES } from "../schema/admin/admin_api.ts";
import { INSPECT_ROUTES } from "./inspect/api.ts";

/** Every route of the admin API that takes a token. */
export function listedRoutes(): ListedRoute[] {
  return [
    STATUS_ROUTES,
    INSPECT_ROUTES,
    POLICY_ROUTES,
    MIRROR_ROUTES,
    SCHEMA_ROUTES,
    ROOM_ROUTES,
    REVOCATION_ROUTES,
    BAN_ROUTES,
    AUDIT_ROUTES,
    BACKUP_ROUTES,
  ].flatMap((table) => [...table.list()]);
}
