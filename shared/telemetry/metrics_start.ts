/**
 * Metrics by OTLP as the rest of the process sees them: started with it and ended with it. Loads the
 * OpenTelemetry SDK (`metrics_export.ts`) only when the config names a collector and wants metrics.
 */
import type { Config } from "../config/schema.ts";
import type { Env } from "../env.ts";
import type { ReadFile } from "../process/secret_file.ts";
import { otlpTarget } from "./resource.ts";
import type { TelemetryResource } from "./resource.ts";

/** What the export needs of its process. */
export interface MetricsExportOptions extends Pick<Env, "registry" | "log" | "now"> {
  readonly telemetry: Config["telemetry"];
  readonly resource: TelemetryResource;
  /** Reads the file of `headers_file`. */
  readonly readTextFile: ReadFile;
}

/** A running export. */
export interface MetricsExport {
  /**
   * Sends the last values, then ends. Takes `timeout_ms` at most, and half a second at most when the
   * export before has failed. Never rejects. Idempotent.
   */
  shutdown(): Promise<void>;
}

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
