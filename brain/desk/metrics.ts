/** The metrics of the command desk. Labels come from closed sets, never from a client. */
import { Histogram, metricsOn } from "../../shared/metrics/metrics.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";

/** The desk's metrics. */
export type DeskMetrics = ReturnType<typeof createDeskMetrics>;

/** Registers them; once per registry. */
export function createDeskMetrics(registry: Registry) {
  const { counter, gauge } = metricsOn(registry);
  return {
    pending_commands: gauge(
      "brain_pending_commands",
      "Commands taken and not yet answered; brain.pending_commands bounds them per room.",
    ),
    pending_bytes: gauge(
      "brain_pending_bytes",
      "Bytes of the commands taken and not yet answered.",
    ),
    // The name of a command that the Brain serves, otherwise "unknown"; the code of the ACK.
    commands: counter(
      "brain_commands_total",
      "Commands answered by the Brain that served them, by name and code (0 is accepted).",
      "name",
      "code",
    ),
    // `outcome`: answered, timed-out, failed or rerouted.
    forwarded: counter(
      "brain_commands_forwarded_total",
      "Commands sent on to the Brain that owns their room, by outcome.",
      "outcome",
    ),
    command_seconds: new Histogram({
      name: "brain_command_duration_seconds",
      help: "From taking a command to its answer.",
      labelNames: ["name"],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers: [registry],
    }),
  };
}
