/**
 * The OTLP export of metrics, started and ended with the process. Loads the OpenTelemetry SDK (`metrics_export.ts`)
 * only if the config names a collector and enables metrics.
 */
import { otlpTarget } from "./resource.ts";
import type { MetricsExport, MetricsExportOptions } from "./metrics_export.ts";

/** Undefined if the config names no collector or disables metrics. */
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
