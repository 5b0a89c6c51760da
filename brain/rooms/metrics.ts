/** The metrics of a Brain's rooms. Labels come from closed sets, never from a client. */
import { metricsOn } from "../../shared/metrics/metrics.ts";
import type { MetricMakers, Registry } from "../../shared/metrics/metrics.ts";

const commandMetrics = ({ counter }: MetricMakers) => ({
  command_conflicts: counter(
    "brain_command_conflicts_total",
    "Compare-and-set attempts that another Brain won.",
  ),
  command_retries: counter(
    "brain_command_retries_total",
    "Commands run again: after a lost race, or because another one of their batch failed.",
  ),
  command_ids_forgotten: counter(
    "brain_command_ids_forgotten_total",
    "Commands that a room forgot before brain.command_id_ttl_ms, as it had too many.",
  ),
});

const roomMetrics = ({ counter, gauge }: MetricMakers) => ({
  rooms: gauge(
    "brain_room_count",
    "Rooms that live and belong to this Brain: born and not ended. No room is at two Brains.",
  ),
  rooms_in_memory: gauge(
    "brain_rooms_in_memory",
    "Rooms whose document this Brain has at hand; brain.rooms_in_memory bounds it.",
  ),
  room_restarts: counter(
    "brain_room_restarts_total",
    "Rooms started anew from their document because a command's handler threw.",
  ),
  rooms_created: counter("brain_rooms_created_total", "Rooms that this Brain made."),
  rooms_ended: counter("brain_rooms_ended_total", "Idle rooms that this Brain ended."),
  room_sweeps: counter(
    "brain_room_sweeps_total",
    "Times that this Brain went through its stored rooms, to end the idle ones.",
  ),
  // `reason`: room-limit, room-bytes-limit, queue-full or failed.
  lifecycle_refused: counter(
    "brain_room_lifecycle_refused_total",
    "Rooms not made for a member, or not swept, by reason.",
    "reason",
  ),
  births_waiting: gauge("brain_room_births_waiting", "Rooms with a member that wait to be made."),
  locks: gauge(
    "brain_locks",
    "Locks that this Brain ends when their lease is over or their holder leaves.",
  ),
  // `cause`: expired or holder-left.
  locks_fallen: counter(
    "brain_locks_fallen_total",
    "Locks that ended without an unlock, by cause.",
    "cause",
  ),
  bans: gauge("brain_bans", "Bans of all tenants; brain.bans_per_tenant bounds them per tenant."),
  bans_swept: counter("brain_bans_swept_total", "Bans deleted because they were over."),
});

const updateMetrics = ({ counter, gauge }: MetricMakers) => ({
  // `kind`: first or again.
  room_updates: counter(
    "brain_room_updates_total",
    "ROOM_UPDATE events published: each change first, and again for whom it did not reach.",
    "kind",
  ),
  rooms_in_doubt: gauge(
    "brain_rooms_in_doubt",
    "Rooms looked at again: whether a change was stored, or was heard, is not known.",
  ),
});

const byteMetrics = ({ counter, gauge }: MetricMakers) => ({
  room_bytes: gauge(
    "brain_room_bytes",
    "Bytes that the rooms of all tenants take, as this Brain counts them.",
  ),
  room_bytes_largest: gauge("brain_room_bytes_largest", "The same of the tenant that has most."),
  room_bytes_limit: gauge(
    "brain_room_bytes_limit",
    "What one tenant's rooms may take: [brain] room_bytes_per_tenant, or a quarter of the bucket.",
  ),
  room_bytes_refused: counter(
    "brain_room_bytes_refused_total",
    "Commands refused because their tenant's rooms have as many bytes as they may.",
  ),
});

/** The metrics of rooms. */
export type RoomMetrics = ReturnType<typeof createRoomMetrics>;

/** Registers them; once per registry. */
export function createRoomMetrics(registry: Registry) {
  const metrics = metricsOn(registry);
  return {
    ...commandMetrics(metrics),
    ...roomMetrics(metrics),
    ...updateMetrics(metrics),
    ...byteMetrics(metrics),
  };
}
