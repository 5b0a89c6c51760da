/**
 * Every route of the admin API: the tables of its parts, once. Whatever is in the list is described
 * (`openapi.ts`) and is answered by the router; a table that is not in it is neither.
 */
import { APPLY_ROUTES } from "../apply/api.ts";
import type { ApplyAdminContext } from "../apply/api.ts";
import { ROLLOUT_ROUTES } from "../apply/rollout_api.ts";
import type { RolloutAdminContext } from "../apply/rollout_api.ts";
import { HOOK_ROUTES } from "../hooks/api.ts";
import type { HookAdminContext } from "../hooks/api.ts";
import type { AuditAdminContext } from "../audit/api.ts";
import { AUDIT_ROUTES } from "../audit/api.ts";
import { JOURNAL_ROUTES } from "../journal/admin/api.ts";
import type { JournalAdminContext } from "../journal/admin/api.ts";
import { MIRROR_ROUTES } from "../mirror/admin_api.ts";
import type { MirrorAdminContext } from "../mirror/admin_api.ts";
import { POLICY_ROUTES } from "../policy/admin_api.ts";
import type { PolicyAdminContext } from "../policy/admin_api.ts";
import { REDUCER_ROUTES } from "../reducers/api.ts";
import type { ReducerAdminContext } from "../reducers/api.ts";
import { SCHEDULE_ROUTES } from "../schedules/api.ts";
import type { ScheduleAdminContext } from "../schedules/api.ts";
import { ROOM_ROUTES } from "../rooms/admin_api.ts";
import type { RoomsAdminContext } from "../rooms/admin_api.ts";
import { USAGE_ROUTES } from "../usage/admin/api.ts";
import type { BudgetsAdminContext } from "../usage/admin/budgets_api.ts";
import { SCHEMA_ROUTES } from "../schema/admin/admin_api.ts";
import type { SchemaAdminContext } from "../schema/admin/admin_api.ts";
import { INSPECT_ROUTES } from "./inspect/api.ts";
import type { InspectContext } from "./inspect/api.ts";
import { STATUS_ROUTES } from "./admin_status.ts";
import type { StatusContext } from "./admin_status.ts";
import { BACKUP_ROUTES } from "./operations/backup_api.ts";
import type { BackupContext } from "./operations/backup_api.ts";
import { BAN_ROUTES } from "./operations/bans_api.ts";
import type { BansAdminContext } from "./operations/bans_api.ts";
import { REVOCATION_ROUTES } from "./operations/revocations_api.ts";
import type { RevocationsAdminContext } from "./operations/revocations_api.ts";
import { AdminRouter } from "./routing/admin_router.ts";
import type { AdminTable, ListedRoute, ServedRoute } from "./routing/admin_routes.ts";

/** What the handlers of each part act on. */
interface Contexts {
  readonly status: StatusContext;
  readonly inspect: InspectContext;
  readonly policies: PolicyAdminContext;
  readonly mirroring: MirrorAdminContext;
  readonly schemas: SchemaAdminContext;
  readonly rooms: RoomsAdminContext;
  readonly revocations: RevocationsAdminContext;
  readonly bans: BansAdminContext;
  readonly audit: AuditAdminContext;
  readonly backup: BackupContext;
  readonly journal: JournalAdminContext;
  readonly state: ApplyAdminContext;
  readonly rollouts: RolloutAdminContext;
  readonly usage: BudgetsAdminContext;
  readonly schedules: ScheduleAdminContext;
  readonly hooks: HookAdminContext;
  readonly reducers: ReducerAdminContext;
}

const TABLES: { readonly [Part in keyof Contexts]: AdminTable<Contexts[Part]> } = {
  status: STATUS_ROUTES,
  inspect: INSPECT_ROUTES,
  policies: POLICY_ROUTES,
  mirroring: MIRROR_ROUTES,
  schemas: SCHEMA_ROUTES,
  rooms: ROOM_ROUTES,
  revocations: REVOCATION_ROUTES,
  bans: BAN_ROUTES,
  audit: AUDIT_ROUTES,
  backup: BACKUP_ROUTES,
  journal: JOURNAL_ROUTES,
  state: APPLY_ROUTES,
  rollouts: ROLLOUT_ROUTES,
  usage: USAGE_ROUTES,
  schedules: SCHEDULE_ROUTES,
  hooks: HOOK_ROUTES,
  reducers: REDUCER_ROUTES,
};
const PARTS = Object.keys(TABLES) as readonly (keyof Contexts)[];

/** The parts of one process; undefined: that part is disabled, and has no paths. */
export type AdminParts = { readonly [Part in keyof Contexts]: Contexts[Part] | undefined };

function served<Part extends keyof Contexts>(part: Part, parts: AdminParts): ServedRoute[] {
  const context: Contexts[Part] | undefined = parts[part];
  return context === undefined ? [] : [...TABLES[part].serve(context)];
}

/** Answers the routes of these parts. */
export function adminRouter(parts: AdminParts): AdminRouter {
  return new AdminRouter(PARTS.flatMap((part) => served(part, parts)));
}

/** Every route of the admin API that takes a token. */
export function listedRoutes(): ListedRoute[] {
  return PARTS.flatMap((part) => [...TABLES[part].list()]);
}
