/**
 * The OTLP export of metrics, started and ended with the process. Loads the OpenTelemetry SDK (`metrics_export.ts`)
 * only if the config names a collector and enables metrics.
 */
import type { Config } from "../config/schema.ts";
import type { Env } from "../env.ts";
import type { ReadFile } from "../process/secret_file.ts";
import { otlpTarget } from "./resource.ts";
import type { TelemetryResource } from "./resource.ts";

/** The dependencies and settings of `openMetricsExport`. */
export interface MetricsExportOptions extends Pick<Env, "registry" | "log" | "now"> {
  readonly telemetry: Config["telemetry"];
  readonly resource: TelemetryResource;
  /** Reads the file of `headers_file`. */
  readonly readTextFile: ReadFile;
}

/** A running export. */
export interface MetricsExport {
  /**
   * Sends the last values, then ends. Takes `timeout_ms` at most, and half a second at most if the export before has
   * failed. Never rejects. Idempotent.
   */
  shutdown(): Promise<void>;
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
