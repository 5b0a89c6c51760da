/**
 * The spec of a schedule, alone or in a tenant's state, and its initial record. Pure; `schedule.ts` stores and advances
 * it.
 */
import { ArqonError, type ScanLimits } from "@arqon/proto";
import { dueAfter, type ScheduleBody, type When } from "../../shared/records/schedule.ts";
import { messageAt } from "./publisher.ts";
import type { Schedule } from "./schedule.ts";

/** The schedule's owner, and the time at which it is set, Unix ms. */
interface ScheduleSetting {
  readonly tenant_id: string;
  readonly schedule_id: string;
  readonly by: string;
  readonly now_ms: number;
}

/** When a schedule is due. A period without a first time gets one. */
export function whenFrom(body: Omit<ScheduleBody, "message">, now_ms: number) {
  const { at_ms, every_ms, cron, zone, until_ms } = body;
  const from_ms = every_ms === undefined ? undefined : body.from_ms ?? now_ms + every_ms;
  const given = { at_ms, every_ms, from_ms, cron, zone, until_ms };
  // The stored form omits members without a value.
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as When;
}

/** Throws if the schedule is never due, and `DecodeError` for an invalid message. */
export function requireDue(
  body: ScheduleBody,
  { tenant_id, schedule_id, now_ms }: Omit<ScheduleSetting, "by">,
  limits: ScanLimits,
): number {
  const due_ms = dueAfter(whenFrom(body, now_ms), now_ms);
  if (due_ms === undefined) {
    const member = (["until_ms", "at_ms", "cron"] as const).find((one) => body[one] !== undefined);
    throw new ArqonError("invalid-settings", `${member}: expected a future time`);
  }
  messageAt({ tenant_id, schedule_id, schedule: body, due_ms }, limits);
  return due_ms;
}

/** The initial schedule, next due at `next_ms`. */
export function begun(
  body: ScheduleBody,
  { by, now_ms }: Pick<ScheduleSetting, "by" | "now_ms">,
  { next_ms, created_ms = now_ms }: {
    readonly next_ms: number;
    readonly created_ms?: number | undefined;
  },
): Schedule {
  const { room, message, user } = body;
  const times = { created_ms, changed_ms: now_ms, next_ms };
  const counts = { claim: null, published: 0, refused: 0, missed: 0, last: null };
  const when = whenFrom(body, now_ms);
  return { format: 1, ...when, room, message, user, by, ...times, is_paused: false, ...counts };
}
