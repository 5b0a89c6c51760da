/** The schedules capability of a Shield. */
import type { Capability } from "../capability.ts";
import { inPath } from "../openapi/openapi_parts.ts";
import { SCHEDULE_ROUTES } from "./api.ts";
import { schedulesKind } from "./schedules_kind.ts";
import { startSchedules } from "./start.ts";

/** Messages that are published at a time. */
export const SCHEDULES: Capability = {
  name: "schedules",
  title: "messages that are published at a time",
  config: ["schedules"],
  stores: ["ARQON_SCHEDULES"],
  admin: {
    tables: [SCHEDULE_ROUTES],
    tags: { schedules: "messages that are published at a time" },
    names: { schedule: inPath("schedule", "the schedule's id") },
  },
  async start(env, parts) {
    const { admin, close } = await startSchedules(env, parts);
    const { spine, log, config: { limits } } = env;
    const { now } = admin;
    return {
      kinds: { schedules: schedulesKind({ spine, limits, running: admin, log, now }) },
      routes: SCHEDULE_ROUTES.serve(admin),
      close,
    };
  },
};
