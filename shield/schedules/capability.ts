/** What schedules bring to a Shield. */
import type { Capability } from "../capability.ts";
import { inPath } from "../openapi/openapi_parts.ts";
import { SCHEDULE_ROUTES } from "./api.ts";
import type { ScheduleAdminContext } from "./api.ts";
import { startSchedules } from "./start.ts";

/** Messages that are published at a time. */
export const SCHEDULES: Capability<ScheduleAdminContext> = {
  name: "schedules",
  title: "messages that are published at a time",
  admin: {
    tables: [SCHEDULE_ROUTES],
    tags: { schedules: "messages that are published at a time" },
    names: { schedule: inPath("schedule", "the schedule's id") },
  },
  async start(env, parts) {
    const { admin, close } = await startSchedules(env, parts);
    return { ...(admin && { own: admin }), routes: SCHEDULE_ROUTES.serve(admin), close };
  },
};
