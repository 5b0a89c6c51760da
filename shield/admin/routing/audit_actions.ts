/**
 * Names of admin API requests in the audit log: of those that change something, and of those that read content of
 * users. Other reads are recorded only when they are refused.
 */

/** The action of each route that has one, by `METHOD template`. */
export const AUDITED_ROUTES: Readonly<Record<string, string>> = {
  "GET /v1/rooms/{tenant}/{room}/tail": "room.tail",
  "GET /v1/rooms/{tenant}/{room}/state": "room.read_state",
  "GET /v1/rooms/{tenant}/{room}/messages": "room.read_messages",
  "GET /v1/rooms/{tenant}/{room}/reducer/{object}": "room.read_reducer",
  "GET /v1/rooms/{tenant}/{room}/past": "room.read_past",
  "POST /v1/rooms/{tenant}/{room}/fork": "room.fork",
  "POST /v1/rooms/{tenant}/{room}/trim": "room.trim",
  "POST /v1/rooms/{tenant}/{room}/repair": "room.repair",
  "POST /v1/rooms/{tenant}/{room}/messages": "room.publish",
  "POST /v1/rooms/{tenant}/{room}/kick": "room.kick",
  "POST /v1/rooms/{tenant}/{room}/ban": "room.ban",
  "DELETE /v1/bans": "ban.lift",
  "DELETE /v1/connections/{connection}": "connection.end",
  "POST /v1/drain": "node.drain",
  "PUT /v1/log": "node.log_level",
  "POST /v1/config/reload": "node.reload_config",
  "PUT /v1/policies/modules": "policy.upload",
  "POST /v1/policies/deploy": "policy.deploy",
  "POST /v1/policies/rollback": "policy.rollback",
  "POST /v1/policies/reset": "policy.reset",
  "DELETE /v1/policies/{policy}": "policy.remove",
  "GET /v1/policies/logs": "policy.read_logs",
  "GET /v1/policies/quarantine": "policy.read_quarantine",
  "DELETE /v1/policies/quarantine/{module}": "policy.release",
  "PUT /v1/tenants/{tenant}/mirror": "mirror.set",
  "DELETE /v1/tenants/{tenant}/mirror": "mirror.remove",
  "POST /v1/tenants/{tenant}/reset": "settings.reset",
  "PUT /v1/state": "state.apply_bus",
  "PUT /v1/tenants/{tenant}/state": "state.apply",
  "POST /v1/rollouts/{tenant}": "rollout.start",
  "POST /v1/rollouts/{tenant}/pause": "rollout.pause",
  "POST /v1/rollouts/{tenant}/resume": "rollout.resume",
  "POST /v1/rollouts/{tenant}/abort": "rollout.abort",
  "DELETE /v1/mirror/diff": "mirror.forget_diff",
  "PUT /v1/schemas/{schema}": "schema.push",
  "DELETE /v1/schemas/{schema}": "schema.delete",
  "PUT /v1/schemas/{schema}/staged": "schema.stage",
  "POST /v1/schemas/{schema}/rollback": "schema.rollback",
  "POST /v1/schemas/{schema}/check": "schema.check",
  "POST /v1/schemas/{schema}/validate": "schema.validate",
  "PUT /v1/tenants/{tenant}/mappings": "mapping.set",
  "DELETE /v1/tenants/{tenant}/mappings": "mapping.remove",
  "PUT /v1/tenants/{tenant}/rooms": "room_class.set",
  "DELETE /v1/tenants/{tenant}/rooms": "room_class.remove",
  "POST /v1/tenants/{tenant}/rooms/unreachable": "room_class.check",
  "PUT /v1/tenants/{tenant}/budgets": "budget.set",
  "DELETE /v1/tenants/{tenant}/budgets": "budget.remove",
  "PUT /v1/tenants/{tenant}/schedules/{schedule}": "schedule.set",
  "DELETE /v1/tenants/{tenant}/schedules/{schedule}": "schedule.remove",
  "POST /v1/tenants/{tenant}/schedules/{schedule}/pause": "schedule.pause",
  "POST /v1/tenants/{tenant}/schedules/{schedule}/resume": "schedule.resume",
  "PUT /v1/tenants/{tenant}/reducers/{class}": "reducer.deploy",
  "PUT /v1/tenants/{tenant}/reducers/{class}/modules/{module}": "reducer.upload",
  "POST /v1/tenants/{tenant}/reducers/{class}/rollback": "reducer.rollback",
  "PUT /v1/tenants/{tenant}/hooks/{hook}": "hook.set",
  "DELETE /v1/tenants/{tenant}/hooks/{hook}": "hook.remove",
  "POST /v1/tenants/{tenant}/hooks/{hook}/pause": "hook.pause",
  "POST /v1/tenants/{tenant}/hooks/{hook}/resume": "hook.resume",
  "POST /v1/tenants/{tenant}/hooks/{hook}/replay": "hook.replay",
  "POST /v1/tenants/{tenant}/hooks/{hook}/test": "hook.test",
  "POST /v1/revocations": "revocation.add",
  "DELETE /v1/revocations": "revocation.lift",
  "GET /v1/journal": "journal.read",
  "GET /v1/why": "why.read",
  "POST /v1/journal/erase": "journal.erase",
  "GET /v1/data": "data.find",
  "GET /v1/data/export": "data.export",
  "POST /v1/data/erase": "data.erase",
  "POST /v1/proof/rotate": "proof.rotate",
  "GET /v1/backup": "bus.backup",
  "GET /v1/audit": "audit.read",
  "GET /v1/audit/entries": "audit.export",
};

/** Actions that change nothing and read no user content: only their refusals are recorded. */
const REFUSALS_ONLY = new Set([
  "schema.check",
  "schema.validate",
  "room_class.check",
  "policy.read_quarantine",
  "audit.read",
  "audit.export",
]);
/** The action of a refused request to a route without an action of its own. */
const OTHER = "read";

/** The action of a route, and whether it is also recorded when it succeeds. */
export function actionOf(
  method: string,
  template: string,
): { readonly action: string; readonly is_recorded: boolean } {
  const route = `${method} ${template}`;
  const action = Object.hasOwn(AUDITED_ROUTES, route) ? AUDITED_ROUTES[route]! : OTHER;
  return { action, is_recorded: action !== OTHER && !REFUSALS_ONLY.has(action) };
}

/** Actions that happen without a request. */
const BY_ITSELF = ["budget.exhausted"] as const;
/** An action that happens without a request. */
export type OwnAction = typeof BY_ITSELF[number];
/** Every action that the log can have. */
export const AUDIT_ACTIONS: readonly string[] = [
  ...new Set([...Object.values(AUDITED_ROUTES), OTHER, "access", ...BY_ITSELF]),
];

/** Members of a body that describe a request and are not content of users. */
const SHOWN = [
  "name",
  "sha256",
  "version",
  "room",
  "mode",
  "percent",
  "order",
  "prefix",
  "subject",
  "schema_id",
  "message",
  "user",
  "user_id",
  "connection_id",
  "token_id",
  "issued_before_ms",
  "until_ms",
  "ttl_ms",
  "scope",
  "reason",
  "node_id",
  "component",
  "level",
  "durable",
  // Of an erasure: after a restore it is repeated from these members.
  "offset",
  "all",
  "through",
] as const;
const SHOWN_UNITS = 128;
/** The longest shown user id, in UTF-16 units: user ids are logged whole. */
const USER_UNITS = 256;
/** Longest body that is parsed for the log. */
const BODY_BYTES = 16_384;

/**
 * The parts of a JSON body that the log may show, read from a copy; empty if the body is large, has no length, or is
 * not JSON. Never rejects.
 */
export async function aboutOf(
  request: Request,
  action: string,
): Promise<Record<string, string | number | boolean>> {
  const size_bytes = Number(request.headers.get("content-length") ?? "0");
  const is_json = /^application\/json\b/i.test(request.headers.get("content-type") ?? "");
  // Published content belongs to the user, whatever its members are called.
  const is_shown = is_json && size_bytes > 0 && size_bytes <= BODY_BYTES &&
    action !== "room.publish" && action !== "schema.validate";
  if (!is_shown) return {};
  let body: unknown;
  try {
    body = await request.clone().json();
  } catch {
    return {};
  }
  const about: Record<string, string | number | boolean> = {};
  if (typeof body !== "object" || body === null) return about;
  for (const name of SHOWN) {
    const value: unknown = Object.hasOwn(body, name) ? Reflect.get(body, name) : undefined;
    const units = name === "user" ? USER_UNITS : SHOWN_UNITS;
    if (typeof value === "string") about[name] = value.slice(0, units).toWellFormed();
    else if (typeof value === "number" || typeof value === "boolean") about[name] = value;
  }
  return about;
}
