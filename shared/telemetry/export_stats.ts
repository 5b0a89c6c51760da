/**
 * Counts the exports of a process by OTLP, of traces and of metrics alike. Not the exporting.
 */
import { Counter } from "../metrics/metrics.ts";
import type { Registry } from "../metrics/metrics.ts";

/** What is exported. */
export type Signal = "traces" | "metrics";

const NAME = "arqon_otlp_exports_total";

/** Counts one export of `signal` as `ok` or `failed`; made once a registry, whoever asks first. */
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
  // Both exist from the start, so that a rate can be taken of the first failure.
  for (const outcome of ["ok", "failed"] as const) counter.inc({ signal, outcome }, 0);
  return (outcome) => counter.inc({ signal, outcome });
}
