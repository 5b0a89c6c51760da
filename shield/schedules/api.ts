/**
 * `/v1/tenants/{tenant}/schedules…` of the admin listener: sets, shows, pauses and removes schedules. The caller is
 * authorized already; `schedules.ts` publishes.
 */
import { ArqonError, type ScanLimits } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import { unlessNewer } from "../../shared/records/stored.ts";
import { slice } from "../../shared/turns/slices.ts";
import { ENTRY_BYTES } from "../../shared/spine/bucket_shares.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { settingsWithin } from "../../shared/listeners/request_body.ts";
import { listingAnswer } from "../../shared/http1/answer.ts";
import { type AdminCall, AdminTable, jsonBody, withBody } from "../admin/routing/admin_routes.ts";
import { Id } from "../admin/routing/query.ts";
import { COUNT, ID, list, object } from "../openapi/openapi_parts.ts";
import { ScheduleBody } from "../../shared/records/schedule.ts";
import { begun, requireDue } from "./body.ts";
import { decodeSchedule, encodeSchedule, paused, type Schedule, stateOf } from "./schedule.ts";
import type { ScheduleBounds, Schedules } from "./schedules.ts";

/** The bytes of a body without its message. */
const BODY_BYTES = 4_096;

/** The dependencies of the routes. The bucket has the schedules; `schedules` knows what tenants may have. */
export interface ScheduleAdminContext extends Pick<Env, "log" | "node_id" | "now"> {
  readonly bucket: KeyValue;
  readonly schedules: Pick<Schedules, "hasRoom">;
  readonly bounds: ScheduleBounds;
  readonly limits: ScanLimits & { readonly max_frame_bytes: number };
}

const OBJECT = { type: "object" };
const SCHEDULE = object({ tenant: ID, schedule: OBJECT, node_id: ID });
const pausing = (is_paused: boolean) => ({
  scope: "tenant-in-path" as const,
  handle: (context: ScheduleAdminContext, call: AdminCall) => pause(context, call, is_paused),
});

/** The routes of schedules. */
export const SCHEDULE_ROUTES = new AdminTable<ScheduleAdminContext>("schedules", {
  "GET /v1/tenants/{tenant}/schedules": {
    id: "listSchedules",
    summary: "a tenant's schedules",
    answer: object({ tenant: ID, schedules: list(OBJECT), node_id: ID }),
    scope: "tenant-in-path",
    handle: showAll,
  },
  "GET /v1/tenants/{tenant}/schedules/{schedule}": {
    id: "getSchedule",
    summary: "one schedule",
    answer: SCHEDULE,
    refusals: [404],
    scope: "tenant-in-path",
    handle: show,
  },
  "PUT /v1/tenants/{tenant}/schedules/{schedule}": {
    audit: "schedule.set",
    id: "setSchedule",
    summary: "sets a schedule, or replaces an existing one, which starts again",
    answer: SCHEDULE,
    refusals: [409],
    scope: "tenant-in-path",
    ...withBody(jsonBody(ScheduleBody, readBody), set),
  },
  "DELETE /v1/tenants/{tenant}/schedules/{schedule}": {
    audit: "schedule.remove",
    id: "removeSchedule",
    summary: "removes a schedule",
    answer: object({ tenant: ID, removed: COUNT, node_id: ID }),
    refusals: [404],
    scope: "tenant-in-path",
    handle: remove,
  },
  "POST /v1/tenants/{tenant}/schedules/{schedule}/pause": {
    audit: "schedule.pause",
    id: "pauseSchedule",
    summary: "pauses a schedule and skips its times",
    answer: SCHEDULE,
    refusals: [404],
    ...pausing(true),
  },
  "POST /v1/tenants/{tenant}/schedules/{schedule}/resume": {
    audit: "schedule.resume",
    id: "resumeSchedule",
    summary: "resumes a schedule with its next future time",
    answer: SCHEDULE,
    refusals: [404],
    ...pausing(false),
  },
});

async function readBody(
  request: Request,
  schema: typeof ScheduleBody,
  { limits }: ScheduleAdminContext,
): Promise<ScheduleBody> {
  const most_bytes = limits.max_frame_bytes + BODY_BYTES;
  return await settingsWithin(most_bytes, most_bytes)(request, schema);
}

/** The id in the path. Throws `invalid-settings`. */
function idOf({ names: { schedule = "" } }: AdminCall): string {
  if (Id.safeParse(schedule).success) return schedule;
  throw new ArqonError("invalid-settings", "schedule: expected 1 to 64 of [A-Za-z0-9_~:=-]");
}

function view(schedule_id: string, schedule: Schedule, revision: number) {
  const { format: _, is_paused: __, claim, ...about } = schedule;
  return { id: schedule_id, state: stateOf(schedule), ...about, claim, revision };
}

interface Stored {
  readonly schedule: Schedule;
  readonly revision: number;
}

const none = (tenant: string, schedule_id: string) =>
  new ArqonError("not-found", `tenant ${tenant} has no schedule ${schedule_id}`);

async function stored(bucket: KeyValue, tenant: string, schedule_id: string): Promise<Stored> {
  const entry = await bucket.get([tenant, schedule_id]);
  if (entry === undefined) throw none(tenant, schedule_id);
  const schedule = decodeSchedule(entry.value);
  if (schedule !== undefined) return { schedule, revision: entry.revision };
  throw new ArqonError("settings-conflict", `schedule ${schedule_id} cannot be read`);
}

async function showAll(
  { bucket, node_id }: ScheduleAdminContext,
  { tenant }: AdminCall,
): Promise<Response> {
  const schedules = [];
  for (const [, schedule_id = ""] of (await bucket.keys([tenant])).sort()) {
    await slice(tenant);
    const entry = await bucket.get([tenant, schedule_id]);
    if (entry === undefined) continue;
    const schedule = unlessNewer(() => decodeSchedule(entry.value));
    const { revision } = entry;
    schedules.push(
      typeof schedule === "object"
        ? view(schedule_id, schedule, revision)
        : { id: schedule_id, state: "unreadable", revision },
    );
  }
  return listingAnswer(tenant, { tenant, schedules, node_id });
}

async function show(context: ScheduleAdminContext, call: AdminCall): Promise<Response> {
  const { tenant } = call;
  const schedule_id = idOf(call);
  const { schedule, revision } = await stored(context.bucket, tenant, schedule_id);
  return Response.json({
    tenant,
    schedule: view(schedule_id, schedule, revision),
    node_id: context.node_id,
  });
}

async function set(
  context: ScheduleAdminContext,
  call: AdminCall,
  body: ScheduleBody,
): Promise<Response> {
  const { bucket, log, now, node_id, limits, bounds, schedules } = context;
  const { tenant, by } = call;
  const schedule_id = idOf(call);
  const setting = { tenant_id: tenant, schedule_id, by, now_ms: now() };
  const next_ms = requireDue(body, setting, limits);
  const written = await changeDocument(async (mayLose) => {
    const entry = await bucket.get([tenant, schedule_id]);
    const created_ms = entry && decodeSchedule(entry.value)?.created_ms;
    const schedule = begun(body, setting, { next_ms, created_ms });
    const value = encodeSchedule(schedule);
    const more = entry === undefined ? 1 : 0;
    const more_bytes = value.length - (entry?.value.length ?? -ENTRY_BYTES);
    if (!schedules.hasRoom(tenant, bounds, more, more_bytes)) {
      const detail = `tenant ${tenant} may have no more schedules, or no longer ones`;
      throw new ArqonError("settings-conflict", detail);
    }
    const expected = entry?.revision ?? 0;
    return {
      schedule,
      revision: await mayLose(bucket.update([tenant, schedule_id], value, expected)),
    };
  });
  log.info("a schedule was set", { tenant_id: tenant, schedule: schedule_id, by });
  return Response.json({
    tenant,
    schedule: view(schedule_id, written.schedule, written.revision),
    node_id,
  });
}

async function remove(context: ScheduleAdminContext, call: AdminCall): Promise<Response> {
  const { bucket, log, node_id } = context;
  const { tenant, by } = call;
  const schedule_id = idOf(call);
  if (await bucket.get([tenant, schedule_id]) === undefined) throw none(tenant, schedule_id);
  await bucket.delete([tenant, schedule_id]);
  log.info("a schedule was removed", { tenant_id: tenant, schedule: schedule_id, by });
  return Response.json({ tenant, removed: 1, node_id });
}

async function pause(
  { bucket, log, now, node_id }: ScheduleAdminContext,
  call: AdminCall,
  is_paused: boolean,
): Promise<Response> {
  const { tenant, by } = call;
  const schedule_id = idOf(call);
  const written = await changeDocument(async (mayLose) => {
    const before = await stored(bucket, tenant, schedule_id);
    const schedule = paused(before.schedule, is_paused, now());
    if (schedule === before.schedule) return before;
    const write = bucket.update([tenant, schedule_id], encodeSchedule(schedule), before.revision);
    return { schedule, revision: await mayLose(write) };
  });
  const word = is_paused ? "paused" : "resumed";
  log.info(`a schedule was ${word}`, { tenant_id: tenant, schedule: schedule_id, by });
  return Response.json({
    tenant,
    schedule: view(schedule_id, written.schedule, written.revision),
    node_id,
  });
}
