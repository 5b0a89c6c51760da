/**
 * Lists the durable rooms of a tenant whose logs have messages, including rooms without subscribers, and trims one. It
 * asks the log, not the Shields; rooms with subscribers are in `lists.ts`.
 */
import { ArqonError, isId } from "@arqon/proto";
import { z } from "zod";
import { reservedRoom } from "../../../shared/rooms/reserved.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import type { RoomClasses } from "../../../shared/rooms/classes.ts";
import type { AdminCall } from "../routing/admin_routes.ts";
import { Id, readQuery, requireId } from "../routing/query.ts";
import type { Answer } from "./lists.ts";

const ROOMS_MAX = 1_000;
const LIMIT_ERROR = { error: `expected a whole number from 1 to ${ROOMS_MAX}` };

const QUERY = {
  tenant: Id.optional(),
  prefix: z.string().refine((text) => text === "" || isId(text), {
    error: "expected a prefix of room ids",
  }).default(""),
  after: Id.optional(),
  limit: z.string().regex(/^[0-9]{1,4}$/, LIMIT_ERROR).transform(Number)
    .refine((limit) => limit >= 1 && limit <= ROOMS_MAX, LIMIT_ERROR).default(100),
};

/** What listing stored rooms needs of the process. */
export interface StoredRoomsContext {
  readonly logs: {
    of(tenant_id: string): Promise<Pick<DurableLog, "rooms" | "head" | "count" | "trim">>;
  };
  readonly classes: Pick<RoomClasses, "of"> & { retentionOf(tenant_id: string): unknown };
}

/** Answers `GET /v1/rooms/stored`. Rejects with `log-unavailable` and `spine-unavailable`. */
export async function storedRooms(
  { logs, classes }: StoredRoomsContext,
  { url, only_tenant, tenant_id: own }: AdminCall,
): Promise<Answer> {
  const { tenant = only_tenant ?? own, prefix, after = "", limit } = readQuery(url, QUERY);
  // Without a durable class there is no log to ask.
  const { rooms, more } = classes.retentionOf(tenant) === undefined
    ? { rooms: [], more: false }
    : await (await logs.of(tenant)).rooms({ prefix, after, limit });
  return { tenant_id: tenant, rooms, next: more ? rooms.at(-1) ?? null : null };
}

/** Trims the log of a durable room. Rejects with `not-found` for a room without a log, and as `storedRooms` does. */
export async function trimStored(
  { logs, classes }: StoredRoomsContext,
  { tenant, names }: AdminCall,
  { before }: { readonly before?: number | undefined },
): Promise<Answer> {
  const room_id = requireId(names.room ?? "", "room");
  if (!classes.of(tenant, room_id).durable || reservedRoom(room_id) !== undefined) {
    throw new ArqonError("not-found", `${room_id} is not a durable room`);
  }
  const log = await logs.of(tenant);
  const last = (await log.head(room_id)).last?.offset ?? 0;
  const through = Math.min(before ?? last, last);
  const kept = await log.count(room_id, through + 1);
  const messages = await log.count(room_id, 1) - kept;
  if (messages > 0) await log.trim(room_id, { through });
  return { tenant_id: tenant, room_id, offset: messages > 0 ? through : 0, messages, snapshots: 0 };
}
