/**
 * Publishes a schedule's message, with the checks of every other message: schemas, policies, quotas, journal. The same
 * message may be published more than once, with the same id. `schedules.ts` decides when it is due.
 */
import { CLOCKS_DIFFER_MS } from "../../shared/clock_steps.ts";
import { ArqonError, decodeClientText, type ScanLimits, type ScannedEnvelope } from "@arqon/proto";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { findStored } from "../../shared/spine/contract/read_page.ts";
import type { FlushQueue } from "../connection/flush_queue.ts";
import { type Caller, tokenlessCaller } from "../message/caller.ts";
import { type MessagePath, publish } from "../message/pipeline.ts";
import { messageIdOf, type Schedule } from "./schedule.ts";
import { type IngressContext, takeIngress } from "../rates/http_rates.ts";

/** The issuer of schedules' users. No token has this issuer. */
const ISSUER = "arqon:schedule";
/** The members of a PUB that the schedule itself sets. */
const OWN = [
  ...["op", "id", "ack", "room", "trace_id", "tenant_id", "message_id", "signature", "signal"],
] as const;

/** The dependencies: publishing a due message, and looking for it in its room's log. */
interface PublisherContext {
  readonly path: MessagePath;
  readonly flushes: FlushQueue;
  readonly ingress: IngressContext;
  readonly limits: ScanLimits;
  readonly classes: Pick<RoomClasses, "of">;
  readonly logOf: (tenant_id: string) => Promise<DurableLog>;
}

/** One due time of a tenant's schedule. */
export interface DueTime {
  readonly tenant_id: string;
  readonly schedule_id: string;
  readonly schedule: Pick<Schedule, "room" | "message" | "user">;
  /** Unix ms. */
  readonly due_ms: number;
}

/** Throws for a number whose digits were lost when the request was read. */
function exact(name: string, value: unknown): unknown {
  if (typeof value !== "number" || Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value;
  throw new ArqonError("invalid-field", `${name}: write an integer from 2^53 on as a text`);
}

/** The message of that due time. Throws `DecodeError` for an invalid message. */
export function messageAt(
  { schedule_id, schedule: { room, message }, due_ms }: DueTime,
  limits: ScanLimits,
): ScannedEnvelope {
  const own = OWN.find((member) => Object.hasOwn(message, member));
  if (own !== undefined) throw new ArqonError("invalid-field", `${own} is set by the schedule`);
  const members = { op: "pub", room, ...message, message_id: messageIdOf(schedule_id, due_ms) };
  const operation = decodeClientText(JSON.stringify(members, exact), limits);
  if (operation.kind === "publish") return operation.envelope;
  throw new ArqonError("malformed-body", "expected a message");
}

/** The caller: a backend of the tenant that may publish in all its rooms. */
function callerOf({ tenant_id, schedule_id, schedule: { user } }: DueTime): Caller {
  const claims = { schedule: schedule_id };
  const who = { tenant_id, user_id: user, role: "service", issuer: ISSUER, claims } as const;
  return tokenlessCaller(who, `schedule:${schedule_id}`);
}

/**
 * Publishes the message, and counts it as any other. Resolves when the Spine or the room's log has it, with its offset
 * there. Rejects like a refused publish.
 */
export async function publishDue(
  context: PublisherContext,
  due: DueTime,
): Promise<number | undefined> {
  const envelope = messageAt(due, context.limits);
  const caller = callerOf(due);
  takeIngress(context.ingress, caller.identity, "schedule", envelope.size_bytes);
  const stored = await publish(context.path, { caller, origin: undefined }, envelope);
  if (stored === undefined) await context.flushes.confirmed();
  return stored?.offset;
}

/**
 * Whether the room's log already has the message: the Shield that claimed it at `claimed_ms` (Unix ms) may have been
 * killed after publishing it, maybe before the deduplication window. False in rooms without a log.
 */
export async function isInLog(
  { classes, logOf }: PublisherContext,
  { tenant_id, schedule_id, schedule: { room, user }, due_ms }: DueTime,
  claimed_ms: number,
): Promise<boolean> {
  if (!classes.of(tenant_id, room).durable) return false;
  const wanted = messageIdOf(schedule_id, due_ms);
  const since_ms = claimed_ms - CLOCKS_DIFFER_MS;
  const found = await findStored(
    await logOf(tenant_id),
    room,
    ({ message_id, sender_id }) => message_id === wanted && sender_id === user,
    since_ms,
  );
  return found !== undefined;
}
