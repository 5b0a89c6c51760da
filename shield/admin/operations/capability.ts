/** The moderation capability of a Shield. */
import type { Capability } from "../../capability.ts";
import { REVOCATION_ROUTES, revokeTokens } from "./revocations_api.ts";
import { receiveSignals, startSignalWrites } from "./signal_writes.ts";
import { answerOf, BOOLEAN, COUNT, ID, list, object } from "../../openapi/openapi_parts.ts";
import { z } from "zod";
import { banKey, decodeBan, EVERY_ROOM, isUserId } from "../../../shared/records/bans.ts";
import type { Env } from "../../../shared/env.ts";
import type { KeyValue } from "../../../shared/spine/contract/spine.ts";
import { type AdminCall, AdminTable } from "../routing/admin_routes.ts";
import type { ArrivedBan } from "../../auth/ban_table.ts";
import type { Bans } from "../../auth/bans.ts";
import { Id, Limit, readQuery } from "../routing/query.ts";
import { slice, STRANGERS } from "../../../shared/turns/slices.ts";
import { topOf } from "../../../shared/containers/top.ts";

/** How many bans are read from the bucket at a time. */
const READS_AT_ONCE = 16;

/** What the admin API needs of the process. */
interface BansAdminContext extends Pick<Env, "log" | "node_id"> {
  readonly bans: Pick<Bans, "list" | "isIncomplete">;
  readonly bucket: Pick<KeyValue, "get" | "delete">;
}

const ShownBan = z.strictObject({
  tenant_id: Id,
  user_id: z.string(),
  scope: z.enum(["tenant", "room"]),
  room_id: Id.optional(),
  until_ms: z.number().describe("Unix time in milliseconds; 0: never expires"),
  reason: z.string(),
  by: z.string().describe(
    "user id of the admin or moderator who banned; empty if the ban cannot be read",
  ),
  created_ms: z.number().describe("Unix time in milliseconds; 0 if the ban cannot be read"),
});
type ShownBan = z.output<typeof ShownBan>;

const User = z.string().refine(isUserId, { error: "expected a user id of 1 to 128 bytes" });
const Wanted = {
  tenant: Id.optional().describe("only of this tenant"),
  room: Id.optional().describe("only bans of this room alone"),
  user: User.optional().describe("only of users with this id"),
  limit: Limit,
};
const Lifted = {
  tenant: Id.describe("the tenant"),
  user: User.describe("the user's id"),
  room: Id.optional().describe("the room; absent: the ban of the whole tenant"),
};

const BAN_ROUTES = new AdminTable<BansAdminContext>("bans", {
  "GET /v1/bans": {
    id: "listBans",
    summary: "lists bans from tenants and from rooms",
    query: Wanted,
    answer: object({
      node_id: ID,
      bans: list(answerOf(ShownBan)),
      total: COUNT,
      truncated: BOOLEAN,
    }),
    scope: "own",
    handle: listed,
  },
  "DELETE /v1/bans": {
    audit: "ban.lift",
    id: "liftBan",
    summary: "lifts the ban of a user from a room, or without ?room= from the tenant",
    query: Lifted,
    answer: object({ node_id: ID, tenant: ID, lifted: BOOLEAN }),
    scope: "tenant-in-query",
    handle: lift,
  },
});

/** The order of bans: bans from a whole tenant come before those from its rooms. */
function orderOf({ tenant_id, room_id, user_id }: ArrivedBan): string {
  return `${tenant_id}\t${room_id === EVERY_ROOM ? "" : room_id}\t${user_id}`;
}

/** The ban as stored in the bucket; undefined if it has been lifted meanwhile. */
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
    // The ban is in force although its record cannot be read.
    return { ...whom, until_ms, reason, by: "", created_ms: 0 };
  }
}

async function listed(
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
    await slice(tenant ?? STRANGERS);
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

/** Bans and revoked tokens, by admins and by signals of backends, and kicks. */
export const MODERATION: Capability = {
  name: "moderation",
  title: "kicks, banned users and revoked tokens",
  admin: {
    tables: [REVOCATION_ROUTES, BAN_ROUTES],
    tags: { revocations: "withdrawn tokens", bans: "banned users" },
  },
  start(
    options,
    { revocations, bans, bans_bucket, node_id, connections, removals, presence, time },
  ) {
    const { config: { auth, limits }, now, ...env } = options;
    const { held, bucket } = revocations;
    const log = env.log.child({ part: "revocations" });
    const withdrawn = { revocations: held, bucket, auth, limits, log, now, node_id };
    const banned = { bans, bucket: bans_bucket, node_id, log: env.log };
    // By a clock of its own that is ahead, a Shield would drop a ban that has not ended.
    const by_store = { ...options, now: () => time.now() };
    const { writes, close } = startSignalWrites({
      ...by_store,
      bans,
      bans_bucket,
      bucket,
      revoke: (tenant_id, wanted) => revokeTokens(withdrawn, tenant_id, wanted, false),
    });
    const stop = receiveSignals({ ...by_store, connections, removals, presence, writes });
    return {
      clientsGone: close,
      routes: [...REVOCATION_ROUTES.serve(withdrawn), ...BAN_ROUTES.serve(banned)],
      [Symbol.asyncDispose]: () => Promise.resolve(stop()),
    };
  },
};
