/**
 * Metrics by OTLP as the rest of the process sees them: started with it and ended with it. Loads the
 * OpenTelemetry SDK (`metrics_export.ts`) only when the config names a collector and wants metrics.
 */
import { otlpTarget } from "./resource.ts";
import type { MetricsExport, MetricsExportOptions } from "./metrics_export.ts";

/** Undefined when the config names no collector or wants no metrics. */
export async function openMetricsExport(
  options: MetricsExportOptions,
): Promise<MetricsExport | undefined> {
  const target = otlpTarget(options.telemetry, "metrics", {
    read: options.readTextFile,
    log: options.log,
  });
  if (target === undefined || !options.telemetry.metrics) return undefined;
  const { startMetricsExport } = await import("./metrics_export.ts");
  return startMetricsExport(options, target);
}
