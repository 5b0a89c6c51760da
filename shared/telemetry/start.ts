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

/** A larger difference means that the wall clock was set, or was corrected often enough. */
const APART_MS = 5;

/** Unix ms with fractions. `now` is Unix ms, `monotonic_ms` as `performance.now`. */
export function spanClock(now: () => number, monotonic_ms: () => number): () => number {
  let offset_ms = now() - monotonic_ms();
  return () => {
    const wall_ms = now();
    const steady_ms = monotonic_ms();
    if (Math.abs(steady_ms + offset_ms - wall_ms) > APART_MS) offset_ms = wall_ms - steady_ms;
    return steady_ms + offset_ms;
  };
}
