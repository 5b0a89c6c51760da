/**
 * `/v1/rooms/classes…` and `/v1/tenants/{tenant}/rooms` of the admin listener: the room classes in
 * force, the class of a room, and those that a tenant sets. It knows requests and answers; whether the
 * caller is an admin has been checked before.
 */
import { ArqonError, isId } from "@arqon/proto";
import { z } from "zod";
import { explain as explainIssues } from "../../shared/config/problems.ts";
import { TenantRoomClass } from "../../shared/config/schema_durable.ts";
import type { Env } from "../../shared/env.ts";
import { TENANT_RULES_MAX } from "../../shared/records/tenant_settings.ts";
import { AdminTable, jsonBody, withBody } from "../admin/routing/admin_routes.ts";
import type { AdminCall } from "../admin/routing/admin_routes.ts";
import { CLASSES_ABOUT } from "../openapi/openapi_settings.ts";
import { parameterOf, readValue, settingsWithin } from "../admin/routing/admin_body.ts";
import type { Settings, StoredSettings } from "../settings/settings.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { OwnedClass } from "../../shared/rooms/room_class.ts";
import { unreachable } from "./unreachable.ts";
import type { AskedLog } from "./unreachable.ts";

/** The largest body, in bytes. */
const CLASS_BYTES = 4_096;
/** The largest body with all classes of a tenant, in bytes. */
const CLASSES_BYTES = 2_097_152;
const NOTHING_LOST = { rooms: 0, messages: 0 };
/** How long an answer waits until its change is in force in this process, in ms. */
const IN_FORCE_MS = 5_000;
/** The most classes in one listing. */
const CLASSES_SHOWN = 2_000;

/** What the admin API needs of the process. */
export interface RoomsAdminContext extends Pick<Env, "log" | "node_id"> {
  readonly classes: RoomClasses;
  readonly settings: Settings;
  /** The logs of durable rooms. */
  readonly logs: { of(tenant_id: string): Promise<AskedLog> };
}

/** All classes that a tenant would have. */
const ClassesBody = z.strictObject({ rooms: z.array(TenantRoomClass).max(TENANT_RULES_MAX) });
type ClassesBody = z.output<typeof ClassesBody>;

/** The routes of the rooms' admin API. */
export const ROOM_ROUTES = new AdminTable<RoomsAdminContext>({
  "/v1/rooms/classes": {
    GET: { scope: "own", about: CLASSES_ABOUT.listRoomClasses, handle: listClasses },
  },
  "/v1/rooms/classes/explain": {
    GET: { scope: "tenant-in-query", about: CLASSES_ABOUT.explainRoomClass, handle: explain },
  },
  "/v1/tenants/{tenant}/rooms": {
    GET: { scope: "tenant-in-path", about: CLASSES_ABOUT.getRoomClasses, handle: showTenant },
    PUT: {
      scope: "tenant-in-path",
      about: CLASSES_ABOUT.setRoomClass,
      ...withBody(jsonBody(TenantRoomClass, readClass), setClass),
    },
    DELETE: { scope: "tenant-in-path", about: CLASSES_ABOUT.removeRoomClass, handle: removeClass },
  },
  "/v1/tenants/{tenant}/rooms/unreachable": {
    POST: {
      scope: "tenant-in-path",
      about: CLASSES_ABOUT.findUnreachable,
      ...withBody(jsonBody(ClassesBody, settingsWithin(CLASSES_BYTES)), showUnreachable),
    },
  },
});

/** A class as answers show it, with options that have no default. */
function shown(one: OwnedClass) {
  return { ...one, replicas: one.replicas ?? null, max_members: one.max_members ?? null };
}

/** Lists classes; the admin of a tenant sees those that can apply to the tenant's rooms. */
function listClasses(
  { classes, node_id }: RoomsAdminContext,
  { only_tenant }: AdminCall,
): Response {
  const all = classes.list().filter(({ tenant }) =>
    only_tenant === undefined || tenant === "*" || tenant === only_tenant
  );
  const some = all.slice(0, CLASSES_SHOWN).map(shown);
  return Response.json({ node_id, classes: some, truncated: all.length > some.length });
}

function idOf(url: URL, name: string): string {
  const text = parameterOf(url, name);
  if (isId(text)) return text;
  const detail = `${name}: ${JSON.stringify(text)} is no id; expected 1 to 64 of [A-Za-z0-9_~:=-]`;
  throw new ArqonError("invalid-settings", detail);
}

function explain({ classes, node_id }: RoomsAdminContext, { url }: AdminCall): Response {
  const tenant = idOf(url, "tenant");
  const room = idOf(url, "room");
  const [one, ...others] = classes.explain(tenant, room).map(shown);
  return Response.json({ node_id, tenant, room, class: one, others, why: why(one!) });
}

function why({ source, pattern, tenant }: Pick<OwnedClass, "source" | "pattern" | "tenant">) {
  if (source === "default") return "no class is about it: the defaults hold";
  const whose = tenant === "*" ? "the configuration" : `the configuration for tenant ${tenant}`;
  const owner = source === "tenant" ? "the tenant's settings" : whose;
  return `${pattern} of ${owner} has the longest pattern that matches`;
}

function view({ settings, revision }: StoredSettings) {
  const { version, by, changed_ms, rooms } = settings;
  return { version, revision, by, changed_ms, rooms };
}

async function showTenant(
  { settings, node_id }: RoomsAdminContext,
  { tenant }: AdminCall,
): Promise<Response> {
  const stored = await settings.read(tenant);
  const { version } = settings.get(tenant);
  const here = { node_id, version, problem: settings.problem(tenant) ?? null };
  return Response.json({ tenant, ...view(stored), here });
}

async function setClass(
  context: RoomsAdminContext,
  call: AdminCall,
  one: TenantRoomClass,
): Promise<Response> {
  return await changeClasses(context, call, (classes) => {
    const at = classes.findIndex(({ room }) => room === one.room);
    if (at >= 0) return classes.with(at, one);
    if (classes.length < TENANT_RULES_MAX) return [...classes, one];
    const detail =
      `tenant ${call.tenant} has ${classes.length} room classes, the most there may be`;
    throw new ArqonError("invalid-settings", detail);
  });
}

async function removeClass(context: RoomsAdminContext, call: AdminCall): Promise<Response> {
  const pattern = parameterOf(call.url, "room");
  return await changeClasses(
    context,
    call,
    (classes) => classes.filter(({ room }) => room !== pattern),
  );
}

async function showUnreachable(
  { classes, settings, logs, node_id }: RoomsAdminContext,
  { tenant }: AdminCall,
  { rooms: after }: ClassesBody,
): Promise<Response> {
  const { rooms: before } = (await settings.read(tenant)).settings;
  // Without a durable class there is no log, and asking would make none.
  const has_log = classes.retentionOf(tenant) !== undefined;
  const change = { tenant_id: tenant, before: classes, after: classes.withTenant(tenant, after) };
  const found = has_log
    ? await unreachable(await logs.of(tenant), change, { before, after })
    : { hidden: NOTHING_LOST, cut: NOTHING_LOST, named: [], more: false };
  return Response.json({ tenant, ...found, node_id });
}

async function changeClasses(
  context: RoomsAdminContext,
  { tenant, by }: AdminCall,
  change: (classes: readonly TenantRoomClass[]) => TenantRoomClass[],
): Promise<Response> {
  const { settings, log, node_id } = context;
  let changed = false;
  const stored = await settings.change(tenant, by, (before) => {
    const rooms = change(before.rooms);
    changed = JSON.stringify(rooms) !== JSON.stringify(before.rooms);
    return changed ? { ...before, rooms } : before;
  });
  const { version } = stored.settings;
  if (changed) log.info("a tenant's room classes were changed", { tenant_id: tenant, version, by });
  const in_force = stored.revision === 0 ||
    await settings.reached(tenant, stored.revision, IN_FORCE_MS);
  return Response.json({ tenant, changed, ...view(stored), here: { node_id, in_force } });
}

/**
 * Reads the class in a body. Rejects with `invalid-settings`, which names what is wrong and what is
 * right.
 */
async function readClass(
  request: Request,
  schema: typeof TenantRoomClass,
): Promise<TenantRoomClass> {
  const value = await readValue(request, CLASS_BYTES);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const detail = "the body is no JSON object; expected one class: " +
      '{"room": "chat-*", "durable": true}';
    throw new ArqonError("invalid-settings", detail);
  }
  if ("tenant" in value) {
    throw new ArqonError("invalid-settings", "tenant: unknown member; the path names the tenant");
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  // The words are those that the same mistake gets in a config file.
  const issues = parsed.error.issues.map((issue) => ({
    ...issue,
    path: ["rooms", 0, ...issue.path],
  }));
  const problems = explainIssues(issues, { rooms: [value] }).slice(0, 8).map(({ key, text }) =>
    `${key.replace(/^rooms\[0\]\.?/, "")}: ${text}`
  );
  throw new ArqonError("invalid-settings", problems.join("; "));
}
