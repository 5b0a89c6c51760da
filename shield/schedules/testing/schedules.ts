/** A schedule as it is stored, and the options of a process that publishes it. */
import type { KeyValue } from "../../../shared/spine/contract/spine.ts";
import { TenantDeletions } from "../../../shared/records/tenant_deletions.ts";
import { keptLog } from "../../../shared/testing/logs.ts";
import { decodeSchedule, type Schedule } from "../schedule.ts";
import type { SchedulesOptions } from "../schedules.ts";

/** The key of the schedule. */
export const KEY = ["acme", "tick"];
/** Its period in ms. */
export const EVERY_MS = 1_000;

/** A schedule that is due a period later. */
export function scheduleOf(now_ms: number, more: Partial<Schedule> = {}): Schedule {
  return {
    format: 1,
    room: "lobby",
    message: { type: "tick" },
    user: "schedule",
    by: "root",
    created_ms: now_ms,
    changed_ms: now_ms,
    is_paused: false,
    next_ms: now_ms + EVERY_MS,
    claim: null,
    published: 0,
    refused: 0,
    missed: 0,
    last: null,
    every_ms: EVERY_MS,
    from_ms: now_ms + EVERY_MS,
    ...more,
  };
}

/** Options with short times; nothing is published. */
export const optionsOf = (
  bucket: KeyValue,
  more: Partial<SchedulesOptions> = {},
): SchedulesOptions => ({
  bucket,
  node_id: "s",
  publish: () => Promise.resolve(undefined),
  takeBack: () => Promise.resolve(),
  deletions: new TenantDeletions({ get: () => Promise.resolve(undefined) }, () => {}),
  isInLog: () => Promise.resolve(false),
  late_ms: () => 60_000,
  onTime: () => {},
  log: keptLog().log,
  now: Date.now,
  random: Math.random,
  claim_ms: 100,
  again_ms: 5,
  ...more,
});

/** The stored schedule; undefined: there is none. */
export async function read(bucket: KeyValue, key = KEY): Promise<Schedule | undefined> {
  const entry = await bucket.get(key);
  return entry && decodeSchedule(entry.value);
}
