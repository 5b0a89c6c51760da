/**
 * Admin routes about the past of rooms with reducers: reading it, forking a room, trimming a log, and repairing a log
 * with lost entries. The Brain that owns the room does the work; this file validates the requests.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import {
  PAST_COMMAND,
  PAST_VALUES,
  PAST_VALUES_MAX,
  type PastAsk,
} from "../../../shared/records/reducer_past.ts";
import type { AdminCall } from "../routing/admin_routes.ts";
import { Id, readQuery } from "../routing/query.ts";
import type { Answer } from "./lists.ts";
import { type Reduced, reducedOf, type ReducedRoomContext } from "./reduced_room.ts";
import { type StoredRoomsContext, trimStored } from "./stored_rooms.ts";
import { askOwner, type OrderContext } from "./room_orders.ts";

/** What these routes need of the process. */
export type ReducedPastContext = ReducedRoomContext & Pick<OrderContext, "path" | "config">;

const Whole = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const WholeText = z.string().regex(/^[0-9]{1,15}$/, { error: "expected a whole number" })
  .transform(Number);
const BOTH = "expected either offset or time_ms";

/** The body of a fork. */
export const ForkBody = z.strictObject({
  /** The new room, which begins with the past of this one. */
  to: Id,
  offset: Whole.optional(),
  time_ms: Whole.optional(),
  with_timers: z.boolean().default(true),
}).refine(({ offset, time_ms }) => offset === undefined || time_ms === undefined, { error: BOTH });

/** The body of a trim: entries up to this one are deleted; absent: all entries that are not needed. */
export const TrimBody = z.strictObject({ before: Whole.optional() });

/** The body of a repair: it accepts that the lost entries stay lost. */
export const RepairBody = z.strictObject({ accept_loss: z.literal(true) });

async function ask(
  context: ReducedPastContext,
  { tenant_id, room_id }: Pick<Reduced, "tenant_id" | "room_id">,
  { by }: AdminCall,
  request: PastAsk,
): Promise<Answer> {
  const data = { ask: request };
  const own = { tenant_id, room_id, by, name: PAST_COMMAND, data } as const;
  return { tenant_id, room_id, ...await askOwner(context, own) };
}

const Range = z.string().regex(/^[0-9]{1,4}$/).transform(Number)
  .refine((limit) => limit >= 1 && limit <= PAST_VALUES_MAX, {
    error: `expected a whole number from 1 to ${PAST_VALUES_MAX}`,
  }).default(PAST_VALUES);

/** Answers `GET /v1/rooms/{tenant}/{room}/past`. */
export async function roomPast(context: ReducedPastContext, call: AdminCall): Promise<Answer> {
  const at = reducedOf(context, call);
  const { offset, time_ms, prefix, after, limit } = readQuery(call.url, {
    offset: WholeText.optional(),
    time_ms: WholeText.optional(),
    prefix: z.string().max(256).default(""),
    after: z.base64().max(512).default(""),
    limit: Range,
  });
  if (offset !== undefined && time_ms !== undefined) {
    throw new ArqonError("invalid-settings", BOTH);
  }
  const request = { action: "show", offset, time_ms, prefix, after, limit } as const;
  const { tenant_id, room_id: room } = at;
  context.log.info("an operator reads the past of a room", { tenant_id, room, by: call.by });
  return await ask(context, at, call, request);
}

/** Answers `POST /v1/rooms/{tenant}/{room}/fork`. */
export async function forkRoom(
  context: ReducedPastContext,
  call: AdminCall,
  { to, ...place }: z.output<typeof ForkBody>,
): Promise<Answer> {
  const { tenant_id, room_id: source } = reducedOf(context, call);
  if (to === source) throw new ArqonError("invalid-settings", "to: expected another room");
  const request = { action: "fork", source, ...place } as const;
  const done = await ask(context, { tenant_id, room_id: to }, call, request);
  context.log.info("an operator forks a room", { tenant_id, room: source, to, by: call.by });
  return done;
}

/** Answers `POST /v1/rooms/{tenant}/{room}/trim`. */
export async function trimRoom(
  context: ReducedPastContext & StoredRoomsContext,
  call: AdminCall,
  body: z.output<typeof TrimBody>,
): Promise<Answer> {
  const { tenant: tenant_id, names: { room = "" } } = call;
  const done = context.classes.of(tenant_id, room).reducer === undefined
    ? await trimStored(context, call, body)
    : await ask(context, reducedOf(context, call), call, { action: "trim", ...body });
  context.log.info("an operator removes the past of a room", { tenant_id, room, by: call.by });
  return done;
}

/** Answers `POST /v1/rooms/{tenant}/{room}/repair`. */
export async function repairRoom(
  context: ReducedPastContext,
  call: AdminCall,
  _accepted: z.output<typeof RepairBody>,
): Promise<Answer> {
  const at = reducedOf(context, call);
  const done = await ask(context, at, call, { action: "repair" });
  const { tenant_id, room_id: room } = at;
  const { lost } = done as { lost?: unknown };
  context.log.warn("an operator repairs a room", { tenant_id, room, lost, by: call.by });
  return done;
}
