/** Stores an event of a tenant in its room of events, for hooks. */
import { bytesFrom } from "../../shared/ids.ts";
import type { TenantEvent } from "../../shared/hooks/tenant_event.ts";
import { systemEnvelope } from "../../shared/records/system_envelope.ts";
import { EVENTS_ROOM } from "../../shared/rooms/events_room.ts";
import type { FollowedClasses } from "../classes/followed_classes.ts";

/** The clock in Unix ms, and random numbers in [0, 1). */
export interface EventSource {
  readonly now: () => number;
  readonly random: () => number;
}

/**
 * Stores an event; events with the same key within two minutes are stored once. Does nothing for a tenant without a
 * durable class, which has no log. Rejects as the log does.
 */
export async function storeTenantEvent(
  followed: FollowedClasses,
  { now, random }: EventSource,
  tenant_id: string,
  { type, data }: TenantEvent,
  key: string,
): Promise<void> {
  if (followed.classes.logRetentionOf(tenant_id) === undefined) return;
  const log = await followed.openLog(tenant_id);
  const bytes = new TextEncoder().encode(JSON.stringify(data));
  const event = { type, data: bytes, content_type: "application/json" };
  const source = { now, random: bytesFrom(random) };
  const stored = systemEnvelope(source, { tenant_id, room_id: EVENTS_ROOM, event });
  await log.append(EVENTS_ROOM, stored, { key });
}
