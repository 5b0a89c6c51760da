/**
 * The Brain's own metrics, on the registry of the process. Labels come from closed sets, never from a client. The
 * metrics of presence are in `presence/metrics.ts`.
 */
import { Counter, Gauge, Histogram } from "../../shared/metrics/metrics.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";

/** The Brain's metrics. */
export interface BrainMetrics {
  /** Live rooms that this Brain owns. */
  readonly rooms: Gauge;
  readonly rooms_in_memory: Gauge;
  readonly pending_commands: Gauge;
  readonly pending_bytes: Gauge;
  /**
   * `name`: the command's name if the Brain serves it, otherwise "unknown"; `code`: 0 if accepted, otherwise the code
   * of the ACK.
   */
  readonly commands: Counter<"name" | "code">;
  readonly command_seconds: Histogram<"name">;
  readonly command_conflicts: Counter;
  readonly command_retries: Counter;
  readonly command_ids_forgotten: Counter;
  /** `outcome`: answered, timed-out, failed or rerouted. */
  readonly forwarded: Counter<"outcome">;
  readonly room_restarts: Counter;
  /** `kind`: first or again. */
  readonly room_updates: Counter<"kind">;
  readonly rooms_in_doubt: Gauge;
  readonly rooms_created: Counter;
  readonly rooms_ended: Counter;
  readonly room_sweeps: Counter;
  /** Room events reported to hooks. */
  readonly rooms_told: Counter<"event">;
  readonly rooms_untold: Gauge;
  /** Bytes of all tenants' rooms, as counted by this Brain. */
  readonly room_bytes: Gauge;
  /** Bytes of the largest tenant. */
  readonly room_bytes_largest: Gauge;
  /** The quota of one tenant. */
  readonly room_bytes_limit: Gauge;
  readonly room_bytes_refused: Counter;
  /** `reason`: room-limit, room-bytes-limit, queue-full or failed. */
  readonly lifecycle_refused: Counter<"reason">;
  readonly births_waiting: Gauge;
  readonly locks: Gauge;
  /** `cause`: expired or holder-left. */
  readonly locks_fallen: Counter<"cause">;
  readonly bans: Gauge;
  readonly bans_swept: Counter;
  readonly tap_messages: Counter<"outcome">;
  /** The values of `tap_messages`: plain numbers, because every message increments one. */
  readonly tapped: Record<TapOutcome, number>;
}

/** The outcome of a tapped message. */
export type TapOutcome = "logged" | "left_out" | "unsampled" | "shadow" | "undecodable";

function commandMetrics(registers: Registry[]) {
  return {
    pending_commands: new Gauge({
      name: "brain_pending_commands",
      help: "Commands taken and not yet answered; brain.pending_commands bounds them per room.",
      registers,
    }),
    pending_bytes: new Gauge({
      name: "brain_pending_bytes",
      help: "Bytes of the commands taken and not yet answered.",
      registers,
    }),
    commands: new Counter({
      name: "brain_commands_total",
      help: "Commands answered by the Brain that served them, by name and code (0 is accepted).",
      labelNames: ["name", "code"],
      registers,
    }),
    command_seconds: new Histogram({
      name: "brain_command_duration_seconds",
      help: "From taking a command to its answer.",
      labelNames: ["name"],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    }),
    command_conflicts: new Counter({
      name: "brain_command_conflicts_total",
      help: "Compare-and-set attempts that another Brain won.",
      registers,
    }),
    command_retries: new Counter({
      name: "brain_command_retries_total",
      help: "Commands run again: after a lost race, or because another one of their batch failed.",
      registers,
    }),
    command_ids_forgotten: new Counter({
      name: "brain_command_ids_forgotten_total",
      help: "Commands that a room forgot before brain.command_id_ttl_ms, as it had too many.",
      registers,
    }),
    forwarded: new Counter({
      name: "brain_commands_forwarded_total",
      help: "Commands sent on to the Brain that owns their room, by outcome.",
      labelNames: ["outcome"],
      registers,
    }),
  };
}

function roomMetrics(registers: Registry[]) {
  return {
    rooms: new Gauge({
      name: "brain_room_count",
      help:
        "Rooms that live and belong to this Brain: born and not ended. No room is at two Brains.",
      registers,
    }),
    rooms_in_memory: new Gauge({
      name: "brain_rooms_in_memory",
      help: "Rooms whose document this Brain has at hand; [brain] rooms_in_memory bounds it.",
      registers,
    }),
    room_restarts: new Counter({
      name: "brain_room_restarts_total",
      help: "Rooms started anew from their document because a command's handler threw.",
      registers,
    }),
    rooms_created: new Counter({
      name: "brain_rooms_created_total",
      help: "Rooms that this Brain made.",
      registers,
    }),
    rooms_ended: new Counter({
      name: "brain_rooms_ended_total",
      help: "Idle rooms that this Brain ended.",
      registers,
    }),
    room_sweeps: new Counter({
      name: "brain_room_sweeps_total",
      help: "Times that this Brain went through its stored rooms, to end the idle ones.",
      registers,
    }),
    lifecycle_refused: new Counter({
      name: "brain_room_lifecycle_refused_total",
      help: "Rooms not made for a member, or not swept, by reason.",
      labelNames: ["reason"],
      registers,
    }),
    births_waiting: new Gauge({
      name: "brain_room_births_waiting",
      help: "Rooms with a member that wait to be made.",
      registers,
    }),
    locks: new Gauge({
      name: "brain_locks",
      help: "Locks that this Brain ends when their lease is over or their holder leaves.",
      registers,
    }),
    locks_fallen: new Counter({
      name: "brain_locks_fallen_total",
      help: "Locks that ended without an unlock, by cause.",
      labelNames: ["cause"],
      registers,
    }),
    bans: new Gauge({
      name: "brain_bans",
      help: "Bans of all tenants; brain.bans_per_tenant bounds them per tenant.",
      registers,
    }),
    bans_swept: new Counter({
      name: "brain_bans_swept_total",
      help: "Bans deleted because they were over.",
      registers,
    }),
  };
}

function updateMetrics(registers: Registry[]) {
  return {
    rooms_told: new Counter({
      name: "brain_rooms_told_total",
      help: "Births and ends of rooms that were stored for hooks.",
      labelNames: ["event"],
      registers,
    }),
    rooms_untold: new Gauge({
      name: "brain_rooms_untold",
      help: "Rooms whose birth or end waits to be stored for hooks.",
      registers,
    }),
    room_updates: new Counter({
      name: "brain_room_updates_total",
      help: "ROOM_UPDATE events published: each change first, and again for whom it did not reach.",
      labelNames: ["kind"],
      registers,
    }),
    rooms_in_doubt: new Gauge({
      name: "brain_rooms_in_doubt",
      help: "Rooms looked at again: whether a change was stored, or was heard, is not known.",
      registers,
    }),
  };
}

function byteMetrics(registers: Registry[]) {
  return {
    room_bytes: new Gauge({
      name: "brain_room_bytes",
      help: "Bytes that the rooms of all tenants take, as this Brain counts them.",
      registers,
    }),
    room_bytes_largest: new Gauge({
      name: "brain_room_bytes_largest",
      help: "The same of the tenant that has most.",
      registers,
    }),
    room_bytes_limit: new Gauge({
      name: "brain_room_bytes_limit",
      help:
        "What one tenant's rooms may take: [brain] room_bytes_per_tenant, or a quarter of the bucket.",
      registers,
    }),
    room_bytes_refused: new Counter({
      name: "brain_room_bytes_refused_total",
      help: "Commands refused because their tenant's rooms have as many bytes as they may.",
      registers,
    }),
  };
}

/** Registers all metrics; once per registry. */
export function createBrainMetrics(registry: Registry): BrainMetrics {
  const registers = [registry];
  const tapped = { logged: 0, left_out: 0, unsampled: 0, shadow: 0, undecodable: 0 };
  return {
    ...commandMetrics(registers),
    ...roomMetrics(registers),
    ...updateMetrics(registers),
    ...byteMetrics(registers),
    tapped,
    tap_messages: new Counter({
      name: "brain_tap_messages_total",
      help: "Messages that this Brain's tap saw, by outcome.",
      labelNames: ["outcome"],
      registers,
      collect() {
        this.reset();
        for (const [outcome, total] of Object.entries(tapped)) {
          if (total > 0) this.inc({ outcome }, total);
        }
      },
    }),
  };
}
