/**
 * Publishes a schedule's message, on the path of every other message: schemas, policies, quotas, journal. The same
 * message may come here more than once, with the same id. `schedules.ts` decides when it is due.
 */
import { CLOCKS_DIFFER_MS } from "../../shared/clock_steps.ts";
import { ArqonError, decodeClientText } from "@arqon/proto";
import type { ScanLimits, ScannedEnvelope } from "@arqon/proto";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { findStored } from "../../shared/spine/contract/stored_back.ts";
import type { FlushQueue } from "../connection/flush_queue.ts";
import { tokenlessCaller } from "../message/caller.ts";
import type { Caller } from "../message/caller.ts";
import { publish } from "../message/pipeline.ts";
import type { MessagePath } from "../message/pipeline.ts";
import { messageIdOf } from "./schedule.ts";
import { takeIngress } from "../rates/ingress.ts";
import type { IngressContext } from "../rates/ingress.ts";
import type { Schedule } from "./schedule.ts";

/** The issuer of schedules' users: no token has it. */
const ISSUER = "arqon:schedule";
/** Members of a PUB that a schedule says itself. */
const OWN = [
  ...["op", "id", "ack", "room", "trace_id", "tenant_id", "message_id", "signature", "signal"],
] as const;

/** How a due message is published, and how its room's log is asked whether it has it already. */
export interface PublishingContext {
  readonly path: MessagePath;
  readonly flushes: FlushQueue;
  readonly ingress: IngressContext;
  readonly limits: ScanLimits;
  readonly classes: Pick<RoomClasses, "of">;
  readonly logOf: (tenant_id: string) => Promise<DurableLog>;
}

/** One time at which a schedule of a tenant is due. */
export interface DueTime {
  readonly tenant_id: string;
  readonly schedule_id: string;
  readonly schedule: Pick<Schedule, "room" | "message" | "user">;
  /** Unix ms. */
  readonly due_ms: number;
}

/** The message that is due then. Throws `DecodeError` for a message that is none. */
export function messageAt(
  { schedule_id, schedule: { room, message }, due_ms }: DueTime,
  limits: ScanLimits,
): ScannedEnvelope {
  const own = OWN.find((member) => Object.hasOwn(message, member));
  if (own !== undefined) throw new ArqonError("invalid-field", `${own} is the schedule's`);
  const members = { op: "pub", room, ...message, message_id: messageIdOf(schedule_id, due_ms) };
  const operation = decodeClientText(JSON.stringify(members), limits);
  if (operation.kind === "publish") return operation.envelope;
  throw new ArqonError("malformed-body", "expected a message");
}

/** A backend of the tenant that may publish everywhere in it. */
function callerOf({ tenant_id, schedule_id, schedule: { user } }: DueTime): Caller {
  const claims = { schedule: schedule_id };
  const who = { tenant_id, user_id: user, role: "service", issuer: ISSUER, claims } as const;
  return tokenlessCaller(who, `schedule:${schedule_id}`);
}

/**
 * Counts the message as any other that comes in. Resolves when it is with the Spine or in its room's log. Rejects as a
 * publish is refused.
 */
export async function publishDue(context: PublishingContext, due: DueTime): Promise<void> {
  const envelope = messageAt(due, context.limits);
  const caller = callerOf(due);
  takeIngress(context.ingress, caller.identity, "schedule", envelope.size_bytes);
  const stored = await publish(context.path, { caller, origin: undefined }, envelope);
  if (stored !== undefined) return;
  await context.flushes.confirmed();
}

/**
 * Whether the room's log has the message already: the Shield that claimed it at `claimed_ms` (Unix ms) was
 * killed behind the publish, maybe longer ago than repetitions are known. False in rooms without a log.
 */
export async function isInLog(
  { classes, logOf }: PublishingContext,
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
