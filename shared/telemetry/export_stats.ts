/** Counts the OTLP exports of a process, for traces and metrics. It does not export. */
import { Counter, type Registry } from "../metrics/metrics.ts";

/** The exported signals. */
export type Signal = "traces" | "metrics";

const NAME = "arqon_otlp_exports_total";

/** Counts one export of `signal` as `ok` or `failed`; created once per registry. */
export function exportCounter(
  registry: Registry,
  signal: Signal,
): (outcome: "ok" | "failed") => void {
  const known = registry.getSingleMetric(NAME) as Counter<"signal" | "outcome"> | undefined;
  const counter = known ?? new Counter({
    name: NAME,
    help: "Exports by OTLP, by signal and outcome.",
    labelNames: ["signal", "outcome"],
    registers: [registry],
  });
  // Both series exist from the start, so that a rate sees the first failure.
  for (const outcome of ["ok", "failed"] as const) counter.inc({ signal, outcome }, 0);
  return (outcome) => counter.inc({ signal, outcome });
}
