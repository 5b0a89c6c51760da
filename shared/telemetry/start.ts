/**
 * Starts the traces of a process, and the export of its metrics, if its configuration enables them. Only then the
 * OpenTelemetry SDK is loaded.
 */
import { otlpTarget } from "./resource.ts";
import type { Tracing, TracingOptions } from "./tracing.ts";
import type { MetricsExport, MetricsExportOptions } from "./metrics_export.ts";

/** Undefined if the config names no collector or disables traces. */
export async function startTracing(options: TracingOptions): Promise<Tracing | undefined> {
  const target = otlpTarget(options.telemetry, "traces", {
    read: options.readTextFile,
    log: options.log,
  });
  if (target === undefined || !options.telemetry.traces) return undefined;
  const { openTracing } = await import("./tracing_sdk.ts");
  return openTracing(options, target);
}

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
