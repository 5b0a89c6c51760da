/**
 * The Brain's own metrics (names: design.md 6), made on the registry of the process. Labels come
 * from closed sets, never from a client.
 */
import { Counter, Gauge, Histogram } from "../shared/metrics.ts";
import type { Registry } from "../shared/metrics.ts";

/** The metrics, by what they measure. */
export interface BrainMetrics {
  readonly rooms: Gauge;
  readonly pending_commands: Gauge;
  readonly pending_bytes: Gauge;
  /** `name`: room.get, room.set or unknown; `code`: 0 accepted, else as in the ACK. */
  readonly commands: Counter<"name" | "code">;
  readonly command_seconds: Histogram<"name">;
  readonly command_conflicts: Counter;
  /** `outcome`: logged, unsampled, shadow or undecodable. */
  readonly tap_messages: Counter<"outcome">;
}

/** Registers them all; once per registry. */
export function createBrainMetrics(registry: Registry): BrainMetrics {
  const registers = [registry];
  return {
    rooms: new Gauge({
      name: "brain_room_count",
      help: "Rooms that this Brain holds in memory; [brain] rooms_in_memory bounds it.",
      registers,
    }),
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
      help: "Commands answered, by name and code (0 is accepted).",
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
    tap_messages: new Counter({
      name: "brain_tap_messages_total",
      help: "Messages that this Brain's tap saw, by what became of them.",
      labelNames: ["outcome"],
      registers,
    }),
  };
}
