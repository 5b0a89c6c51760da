/**
 * `/v1/bans` of the admin listener: lists bans, and lifts one. Banning is a command of a room
 * (`inspect/room_orders.ts`). Whether the caller is an admin has been checked before.
 */
import { z } from "zod";
import { banKey, decodeBan, EVERY_ROOM, isUserId } from "../../../shared/records/bans.ts";
import type { Env } from "../../../shared/env.ts";
import type { KeyValue } from "../../../shared/spine/contract/spine.ts";
import { AdminTable } from "../routing/admin_routes.ts";
import type { AdminCall } from "../routing/admin_routes.ts";
import type { ArrivedBan } from "../../auth/ban_table.ts";
import type { Bans } from "../../auth/bans.ts";
import { BANS_ABOUT } from "./openapi_bans.ts";
import { Id, Limit, readQuery } from "../routing/query.ts";
import { topOf } from "../../../shared/containers/top.ts";

/** How many bans are read from the bucket at a time. */
const READS_AT_ONCE = 64;

/** What the admin API needs of the process. */
export interface BansAdminContext extends Pick<Env, "log" | "node_id"> {
  readonly bans: Pick<Bans, "list" | "isIncomplete">;
  readonly bucket: Pick<KeyValue, "get" | "delete">;
}

const User = z.string().refine(isUserId, { error: "expected a user id of 1 to 128 bytes" });
const Wanted = { tenant: Id.optional(), room: Id.optional(), user: User.optional(), limit: Limit };
const Lifted = { tenant: Id, room: Id.optional(), user: User };

/** The routes of bans. */
export const BAN_ROUTES = new AdminTable<BansAdminContext>({
  "/v1/bans": {
    GET: { scope: "own", about: BANS_ABOUT.listBans, handle: list },
    DELETE: { scope: "tenant-in-query", about: BANS_ABOUT.liftBan, handle: lift },
  },
});

/** A ban as answers show it. */
export interface ShownBan {
  readonly tenant_id: string;
  readonly user_id: string;
  /** `tenant`: the ban is for the whole tenant; `room`: for `room_id`. */
  readonly scope: "tenant" | "room";
  readonly room_id?: string;
  /** The end of the ban, in Unix ms; 0: without end. */
  readonly until_ms: number;
  readonly reason: string;
  /** The user id of the one who banned; "" when it cannot be read. */
  readonly by: string;
  /** When the ban was made, in Unix ms; 0 when that cannot be read. */
  readonly created_ms: number;
}

/** The order of bans: those of a whole tenant come before those of its rooms. */
function orderOf({ tenant_id, room_id, user_id }: ArrivedBan): string {
  return `${tenant_id}\t${room_id === EVERY_ROOM ? "" : room_id}\t${user_id}`;
}

/** The ban as the bucket has it; undefined when it has been lifted meanwhile. */
async function shown(
  { bucket }: BansAdminContext,
  { tenant_id, room_id, user_id, until_ms, reason }: ArrivedBan,
): Promise<ShownBan | undefined> {
  const entry = await bucket.get(banKey(tenant_id, room_id, user_id));
  if (entry === undefined) return undefined;
  const whom = room_id === EVERY_ROOM
    ? { tenant_id, user_id, scope: "tenant" as const }
    : { tenant_id, user_id, scope: "room" as const, room_id };
  try {
    const { by, created_ms, ...ban } = decodeBan(entry.value);
    return { ...whom, until_ms: ban.until_ms, reason: ban.reason, by, created_ms };
  } catch {
    // In force all the same, as the Shields hold it.
    return { ...whom, until_ms, reason, by: "", created_ms: 0 };
  }
}

async function list(
  context: BansAdminContext,
  { url, only_tenant }: AdminCall,
): Promise<Response> {
  const { bans, node_id } = context;
  const query = readQuery(url, Wanted);
  const tenant = only_tenant ?? query.tenant;
  const { room, user, limit } = query;
  const { items, total } = await topOf(bans.list(tenant), {
    limit,
    accept: (ban) =>
      (room === undefined || ban.room_id === room) && (user === undefined || ban.user_id === user),
    score: () => 0,
    name: orderOf,
  });
  const rows: ShownBan[] = [];
  for (let at = 0; at < items.length; at += READS_AT_ONCE) {
    const some = items.slice(at, at + READS_AT_ONCE).map((ban) => shown(context, ban));
    for (const ban of await Promise.all(some)) if (ban !== undefined) rows.push(ban);
  }
  const truncated = total > items.length || bans.isIncomplete(tenant);
  const known = { total: total - (items.length - rows.length), truncated };
  return Response.json({ node_id, bans: rows, ...known });
}

async function lift(context: BansAdminContext, { url, by }: AdminCall): Promise<Response> {
  const { bucket, log, node_id } = context;
  const { tenant, room, user } = readQuery(url, Lifted);
  const key = banKey(tenant, room ?? EVERY_ROOM, user);
  const stood = await bucket.get(key) !== undefined;
  if (stood) {
    await bucket.delete(key);
    const where = room === undefined ? {} : { room };
    log.info("an operator lifted a ban", { tenant_id: tenant, ...where, user, by });
  }
  return Response.json({ node_id, tenant, lifted: stood });
}
