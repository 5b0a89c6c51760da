/** The schedules capability of a Shield. */
import type { Capability, Parts } from "../capability.ts";
import { inPath } from "../openapi/openapi_parts.ts";
import { SCHEDULE_ROUTES, type ScheduleAdminContext } from "./api.ts";
import { schedulesKind } from "./schedules_kind.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { randomFraction } from "../../shared/ids.ts";
import { Counter, Gauge, Histogram, type Registry } from "../../shared/metrics/metrics.ts";
import { leftMs } from "../../shared/watchdog/left_work.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { isInLog, publishDue } from "./publisher.ts";
import { type Schedule, stateOf } from "./schedule.ts";
import { takeBack } from "../../shared/records/tenant_deletions.ts";
import { SCHEDULES_BUCKET } from "../../shared/records/buckets.ts";
import { Schedules, type SchedulesOptions } from "./schedules.ts";

interface SchedulesStart extends Pick<Env, "spine" | "registry" | "log" | "now" | "random"> {
  readonly config: Pick<Config, "schedules" | "limits" | "watchdog">;
}

type SchedulingParts = Pick<
  Parts,
  "node_id" | "time" | "operations" | "rooms" | "logs" | "stats" | "tenants" | "rates" | "settings"
>;

interface StartedSchedules {
  readonly admin: ScheduleAdminContext;
  /** Stops publishing; resolves when running work has ended. Never rejects. */
  close(): Promise<void>;
}

const STATES: readonly ReturnType<typeof stateOf>[] = [
  "waiting",
  "publishing",
  "paused",
  "set_aside",
  "done",
];
const OUTCOMES = ["published", "refused", "missed", "set_aside"] as const;
/** Upper bounds in seconds. */
const LATE_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3_600];

function scheduleMetrics(
  registry: Registry,
  all: () => Iterable<Schedule>,
): SchedulesOptions["onTime"] {
  const registers = [registry];
  new Gauge({
    name: "shield_schedules",
    help: "Schedules of all tenants by state. Every Shield reports the same number.",
    labelNames: ["state"],
    registers,
    collect() {
      for (const state of STATES) this.set({ state }, 0);
      for (const schedule of all()) this.inc({ state: stateOf(schedule) });
    },
  });
  const times = new Counter({
    name: "shield_schedule_times_total",
    help: "Due times that this Shield has handled, by outcome.",
    labelNames: ["outcome"],
    registers,
  });
  for (const outcome of OUTCOMES) times.inc({ outcome }, 0);
  const late = new Histogram({
    name: "shield_schedule_late_seconds",
    help: "Delay from the due time of a message to its publishing.",
    buckets: LATE_BUCKETS,
    registers,
  });
  return (outcome, late_ms) => {
    times.inc({ outcome });
    if (outcome === "published") late.observe(Math.max(0, late_ms) / 1_000);
  };
}

/** Starts to publish due schedules. Rejects with `spine-unavailable`. */
async function startSchedules(
  { config, spine, registry, now, random, ...start }: SchedulesStart,
  { node_id, time, operations, rooms, logs, stats, tenants, rates, settings }: SchedulingParts,
): Promise<StartedSchedules> {
  const { late_seconds, ...bounds } = config.schedules;
  const log = start.log.child({ part: "schedules" });
  const { context: { path, flushes } } = operations;
  const bucket = await spine.keyValue(SCHEDULES_BUCKET);
  const { classes } = rooms;
  const { limits } = config;
  const storeNow = () => time.now();
  const logOf = (tenant_id: string) => logs.of(tenant_id);
  const ingress = { stats, tenants, rates: new HttpRates(rates, now) };
  const context = { path, flushes, ingress, limits, classes, logOf };
  const schedules: Schedules = new Schedules({
    bucket,
    node_id,
    publish: (due) => publishDue(context, due),
    takeBack: async ({ tenant_id, schedule: { room } }, offset) =>
      await takeBack(await logOf(tenant_id), room, [offset]),
    deletions: settings.deletions,
    isInLog: (due, claimed_ms) => isInLog(context, due, claimed_ms),
    late_ms: () => 1_000 * late_seconds,
    onTime: scheduleMetrics(registry, () => schedules.all),
    log,
    now: storeNow,
    left_ms: leftMs(config),
    random: () => randomFraction(random),
  });
  await schedules.ready;
  return {
    admin: { bucket, schedules, bounds, limits, log, now: storeNow, node_id },
    close: () => schedules.close(),
  };
}

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
