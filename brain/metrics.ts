/**
 * The Brain's own metrics, made on the registry of the process. Labels come
 * from closed sets, never from a client. Those of presence: `presence/metrics.ts`.
 */
import { Counter, Gauge, Histogram } from "../shared/metrics.ts";
import type { Registry } from "../shared/metrics.ts";

/** The metrics, by what they measure. */
export interface BrainMetrics {
  /** Rooms that live and that this Brain owns. */
  readonly rooms: Gauge;
  readonly rooms_in_memory: Gauge;
  readonly pending_commands: Gauge;
  readonly pending_bytes: Gauge;
  /** `name`: that of a command that the Brain serves, or unknown; `code`: 0 accepted, else as in the ACK. */
  readonly commands: Counter<"name" | "code">;
  readonly command_seconds: Histogram<"name">;
  readonly command_conflicts: Counter;
  readonly command_retries: Counter;
  /** `outcome`: answered, timed-out, failed or rerouted. */
  readonly forwarded: Counter<"outcome">;
  readonly room_restarts: Counter;
  readonly rooms_created: Counter;
  readonly rooms_ended: Counter;
  /** `reason`: room-limit, queue-full or failed. */
  readonly lifecycle_refused: Counter<"reason">;
  readonly births_waiting: Gauge;
  readonly locks: Gauge;
  /** `cause`: expired or holder-left. */
  readonly locks_fallen: Counter<"cause">;
  readonly bans: Gauge;
  readonly bans_swept: Counter;
  readonly tap_messages: Counter<"outcome">;
  /** What `tap_messages` shows: plain numbers, as every message adds to them. */
  readonly tapped: Record<TapOutcome, number>;
}

/** What became of a message that the tap saw. */
export type TapOutcome = "logged" | "unsampled" | "shadow" | "undecodable";

function commandMetrics(registers: Registry[]) {
  return {
    pending_commands: new Gauge({
      name: "brain_pending_commands",
      help: "Commands taken and not yet answered; [brain] pending_commands bounds them per room.",
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
    forwarded: new Counter({
      name: "brain_commands_forwarded_total",
      help: "Commands sent on to the Brain that owns their room, by what became of them.",
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
      help: "Bans of all tenants; [brain] bans_per_tenant bounds them per tenant.",
      registers,
    }),
    bans_swept: new Counter({
      name: "brain_bans_swept_total",
      help: "Bans deleted because they were over.",
      registers,
    }),
  };
}

/** Registers them all; once per registry. */
export function createBrainMetrics(registry: Registry): BrainMetrics {
  const registers = [registry];
  const tapped = { logged: 0, unsampled: 0, shadow: 0, undecodable: 0 };
  return {
    ...commandMetrics(registers),
    ...roomMetrics(registers),
    tapped,
    tap_messages: new Counter({
      name: "brain_tap_messages_total",
      help: "Messages that this Brain's tap saw, by what became of them.",
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
