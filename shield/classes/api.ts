/**
 * `/v1/rooms/classes…` and `/v1/tenants/{tenant}/rooms` of the admin listener: the room classes in force, the class of
 * a room, and a tenant's own. The caller is authorized already.
 */
import { BOOLEAN, ID, inQuery, list, object, ref, TENANT, TEXT } from "../openapi/openapi_parts.ts";
import { ArqonError, isId } from "@arqon/proto";
import { z } from "zod";
import { explain as explainIssues } from "../../shared/config/problems.ts";
import { TenantRoomClass } from "../../shared/config/schema_durable.ts";
import type { Env } from "../../shared/env.ts";
import { TENANT_RULES_MAX } from "../../shared/records/tenant_settings.ts";
import { type AdminCall, AdminTable, jsonBody, withBody } from "../admin/routing/admin_routes.ts";
import { parameterOf, readValue, settingsWithin } from "../../shared/listeners/request_body.ts";
import { Section } from "../settings/section.ts";
import type { Settings } from "../settings/settings.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { OwnedClass, RoomClass } from "../../shared/rooms/room_class.ts";
import { slice } from "../../shared/turns/slices.ts";
import { canonicalJson } from "../../shared/canonical_json.ts";
import { recordedRoomOf, reducedRoomOf } from "../../shared/rooms/reserved.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";

const SETTINGS = ref("TenantSettings");
const OBJECT = { type: "object" };

const CLASS_BYTES = 4_096;
/** The largest body with all classes of a tenant, in bytes. */
const CLASSES_BYTES = 2_097_152;
const NOTHING_LOST = { rooms: 0, messages: 0 };
/** The most classes in one listing. */
const CLASSES_SHOWN = 2_000;

/** The context of the room classes' routes. */
export interface RoomsAdminContext extends Pick<Env, "log" | "node_id"> {
  readonly classes: RoomClasses;
  readonly settings: Settings;
  readonly logs: { of(tenant_id: string): Promise<AskedLog> };
}

/** All classes that a tenant would have. */
const ClassesBody = z.strictObject({ rooms: z.array(TenantRoomClass).max(TENANT_RULES_MAX) });
type ClassesBody = z.output<typeof ClassesBody>;

/** The routes of the rooms' admin API. */
export const ROOM_ROUTES = new AdminTable<RoomsAdminContext>("room classes", {
  "GET /v1/rooms/classes": {
    id: "listRoomClasses",
    summary: "lists the room classes in force",
    answer: object({ node_id: ID, classes: list(OBJECT), truncated: BOOLEAN }),
    scope: "own",
    handle: listClasses,
  },
  "GET /v1/rooms/classes/explain": {
    id: "explainRoomClass",
    summary: "explains which class applies to a room",
    query: [TENANT, inQuery("room", "the room", ID, true)],
    answer: OBJECT,
    scope: "tenant-in-query",
    handle: explain,
  },
  "GET /v1/tenants/{tenant}/rooms": {
    id: "getRoomClasses",
    summary: "lists a tenant's own room classes",
    answer: SETTINGS,
    scope: "tenant-in-path",
    handle: (context, { tenant }) => CLASSES.show(context, tenant),
  },
  "PUT /v1/tenants/{tenant}/rooms": {
    audit: "room_class.set",
    id: "setRoomClass",
    summary: "sets a tenant's room class",
    answer: SETTINGS,
    refusals: [409],
    scope: "tenant-in-path",
    ...withBody(jsonBody(TenantRoomClass, readClass), setClass),
  },
  "DELETE /v1/tenants/{tenant}/rooms": {
    audit: "room_class.remove",
    id: "removeRoomClass",
    summary: "removes a tenant's room class",
    query: [inQuery("room", "the class's pattern", TEXT, true)],
    answer: SETTINGS,
    refusals: [409],
    scope: "tenant-in-path",
    handle: removeClass,
  },
  "POST /v1/tenants/{tenant}/rooms/unreachable": {
    audit: { refused: "room_class.check" },
    id: "findUnreachable",
    summary: "reports stored messages that these classes would make unreachable, without a change",
    answer: object({
      tenant: ID,
      hidden: OBJECT,
      cut: OBJECT,
      named: list(OBJECT),
      more: BOOLEAN,
      node_id: ID,
    }),
    scope: "tenant-in-path",
    ...withBody(jsonBody(ClassesBody, settingsWithin(CLASSES_BYTES)), showUnreachable),
  },
});

/** A class in an answer, with options that have no default. */
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
  const detail = `${name}: ${
    JSON.stringify(text)
  } is not an id; expected 1 to 64 of [A-Za-z0-9_~:=-]`;
  throw new ArqonError("invalid-settings", detail);
}

function explain({ classes, node_id }: RoomsAdminContext, { url }: AdminCall): Response {
  const tenant = idOf(url, "tenant");
  const room = idOf(url, "room");
  const [one, ...others] = classes.explain(tenant, room).map(shown);
  return Response.json({ node_id, tenant, room, class: one, others, why: why(one!) });
}

function why({ source, pattern, tenant }: Pick<OwnedClass, "source" | "pattern" | "tenant">) {
  if (source === "default") return "no class matches: the defaults apply";
  const whose = tenant === "*" ? "the configuration" : `the configuration for tenant ${tenant}`;
  const owner = source === "tenant" ? "the tenant's settings" : whose;
  return `${pattern} of ${owner} has the longest pattern that matches`;
}

const CLASSES = new Section("rooms", "room classes", ({ rooms }) => ({ rooms }));

async function setClass(
  context: RoomsAdminContext,
  call: AdminCall,
  one: TenantRoomClass,
): Promise<Response> {
  return await CLASSES.change(context, call, (classes) => {
    const at = classes.findIndex(({ room }) => room === one.room);
    if (at >= 0) return classes.with(at, one);
    if (classes.length < TENANT_RULES_MAX) return [...classes, one];
    const detail = `tenant ${call.tenant} has ${classes.length} room classes, which is the limit`;
    throw new ArqonError("invalid-settings", detail);
  });
}

async function removeClass(context: RoomsAdminContext, call: AdminCall): Promise<Response> {
  const pattern = parameterOf(call.url, "room");
  return await CLASSES.change(
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
  // Without a durable class there is no log to ask.
  const has_log = classes.retentionOf(tenant) !== undefined;
  const change = { tenant_id: tenant, before: classes, after: classes.withTenant(tenant, after) };
  const found = has_log
    ? await unreachable(await logs.of(tenant), change, { before, after })
    : { hidden: NOTHING_LOST, cut: NOTHING_LOST, named: [], more: false };
  return Response.json({ tenant, ...found, node_id });
}

/** Parses the class in a body. Rejects with `invalid-settings`, which names what is wrong and what is expected. */
async function readClass(
  request: Request,
  schema: typeof TenantRoomClass,
): Promise<TenantRoomClass> {
  const value = await readValue(request, CLASS_BYTES);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const detail = "the body is not a JSON object; expected one class: " +
      '{"room": "chat-*", "durable": true}';
    throw new ArqonError("invalid-settings", detail);
  }
  if ("tenant" in value) {
    throw new ArqonError("invalid-settings", "tenant: unknown member; the path names the tenant");
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  // The message is the same as for this mistake in a config file.
  const issues = parsed.error.issues.map((issue) => ({
    ...issue,
    path: ["rooms", 0, ...issue.path],
  }));
  const problems = explainIssues(issues, { rooms: [value] }).slice(0, 8).map(({ key, text }) =>
    `${key.replace(/^rooms\[0\]\.?/, "")}: ${text}`
  );
  throw new ArqonError("invalid-settings", problems.join("; "));
}

// Which stored messages other room classes would make unreachable: those of rooms that would not be durable, or would
// lose their reducer or their journal of members, and those beyond a shorter history. Changes nothing.

const ROOMS_MAX = 100_000;
/** The most requests to the log about single rooms; beyond that, rooms are counted without their messages. */
const QUESTIONS_MAX = 3_000;
const PAGE = 1_000;
/** The most named rooms. */
const NAMED = 20;

/** The used part of a tenant's log. */
type AskedLog = Pick<DurableLog, "rooms" | "count" | "head" | "read" | "now">;

/** Rooms, and messages in them. */
interface Lost {
  readonly rooms: number;
  readonly messages: number;
}

interface Unreachable {
  /** Rooms that would be unreadable. */
  readonly hidden: Lost;
  /** Rooms with a shorter history: messages beyond it are deleted. */
  readonly cut: Lost;
  /** The first rooms of both kinds. */
  readonly named: readonly { readonly room: string; readonly messages: number }[];
  /** There are more rooms, or messages that were not counted. */
  readonly more: boolean;
}

/** The prefixes of rooms whose class may change. */
function prefixesOf(
  before: readonly TenantRoomClass[],
  after: readonly TenantRoomClass[],
): string[] {
  const known = new Map(before.map((one) => [one.room, one]));
  const wanted = new Map(after.map((one) => [one.room, one]));
  const changed = [...new Set([...known.keys(), ...wanted.keys()])].filter((room) =>
    canonicalJson(known.get(room)) !== canonicalJson(wanted.get(room))
  );
  const prefixes = [...new Set(changed.map((room) => room.replace(/\*$/, "")))].sort();
  // Rooms of a longer prefix are listed with a shorter one of theirs, which sorts first.
  const shortest: string[] = [];
  for (const one of prefixes) {
    const last = shortest.at(-1);
    if (last === undefined || !one.startsWith(last)) shortest.push(one);
  }
  return shortest;
}

type Classes = Pick<RoomClasses, "of">;

/** The current and the changed classes of one tenant. */
interface Change {
  readonly tenant_id: string;
  readonly before: Classes;
  readonly after: Classes;
}

/** Whether the room's current content would still be readable. */
function isReachable({ tenant_id, before, after }: Change, room: string): boolean {
  const classOf = (classes: Classes, one: string) => classes.of(tenant_id, one);
  const reduced = reducedRoomOf(room);
  const reducer = reduced === undefined ? undefined : classOf(before, reduced).reducer;
  if (reduced !== undefined && reducer !== undefined) {
    return classOf(after, reduced).reducer === reducer;
  }
  const recorded = recordedRoomOf(room);
  if (recorded !== undefined && classOf(before, recorded).membership !== "off") {
    return classOf(after, recorded).membership !== "off";
  }
  return classOf(after, room).durable;
}

/** Counts messages of single rooms, within the limit of requests. */
class Counting {
  readonly #log: AskedLog;
  #left = QUESTIONS_MAX;

  constructor(log: AskedLog) {
    this.#log = log;
  }

  get is_over(): boolean {
    return this.#left <= 0;
  }

  /** Messages of a room within its class's retention. */
  async visible(room: string, one: RoomClass, with_age: boolean): Promise<number> {
    const from = with_age ? await this.#firstSince(room, one.history_ttl_seconds) : 0;
    this.#left--;
    return Math.min(await this.#log.count(room, from), one.history_size);
  }

  /** The offset of the first message since then, by bisection: times grow with offsets. */
  async #firstSince(room: string, age_seconds: number): Promise<number> {
    const since_ms = this.#log.now() - 1_000 * age_seconds;
    const { last } = await this.#log.head(room);
    let low = 0;
    let high = (last?.offset ?? 0) + 1;
    while (low + 1 < high) {
      const middle = Math.floor((low + high) / 2);
      const bounds = { after: middle - 1, limit: 1, max_bytes: 1 };
      const [found] = (await this.#log.read(room, bounds)).messages;
      this.#left--;
      if (found === undefined || found.time_ms >= since_ms) high = middle;
      else low = found.offset;
    }
    return high;
  }
}

async function* roomsOf(log: AskedLog, prefixes: readonly string[]): AsyncGenerator<string> {
  for (const prefix of prefixes) {
    for (let after = "";;) {
      const { rooms, more } = await log.rooms({ prefix, after, limit: PAGE });
      yield* rooms;
      if (!more) break;
      after = rooms.at(-1) ?? "";
    }
  }
}

/** The tenant's stored messages that would become unreachable. Rejects as the log does. */
export async function unreachable(
  log: AskedLog,
  change: Change,
  rooms: {
    readonly before: readonly TenantRoomClass[];
    readonly after: readonly TenantRoomClass[];
  },
): Promise<Unreachable> {
  const counting = new Counting(log);
  const hidden = { rooms: 0, messages: 0 };
  const cut = { rooms: 0, messages: 0 };
  const named: { room: string; messages: number }[] = [];
  const tell = (of: typeof hidden, room: string, messages: number) => {
    of.rooms++;
    of.messages += messages;
    if (named.length < NAMED) named.push({ room, messages });
  };
  let looked = 0;
  for await (const room of roomsOf(log, prefixesOf(rooms.before, rooms.after))) {
    if (looked++ >= ROOMS_MAX) break;
    await slice(change.tenant_id);
    const [now, then] = [change.before, change.after].map((one) => one.of(change.tenant_id, room));
    if (now === undefined || then === undefined || now === then || !now.durable) continue;
    const with_age = then.history_ttl_seconds < now.history_ttl_seconds;
    const reaches = isReachable(change, room);
    const is_shorter = with_age || then.history_size < now.history_size;
    if (reaches && !is_shorter) continue;
    if (counting.is_over) {
      if (!reaches) tell(hidden, room, 0);
      continue;
    }
    const messages = await counting.visible(room, now, reaches && with_age);
    if (!reaches) tell(hidden, room, messages);
    else {
      const lost = messages - await counting.visible(room, then, with_age);
      if (lost > 0) tell(cut, room, lost);
    }
  }
  return { hidden, cut, named, more: looked > ROOMS_MAX || counting.is_over };
}
