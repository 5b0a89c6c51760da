/**
 * Sends the metrics of /metrics to an OpenTelemetry collector, by OTLP over HTTP with Protobuf. Only `start.ts`
 * loads it, because of its packages.
 */
import { type ExportResult, ExportResultCode, SDK_INFO } from "@opentelemetry/core";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import type {
  MetricProducer,
  PushMetricExporter,
  ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import type { Logger } from "../logs/log.ts";
import { exportCounter } from "./export_stats.ts";
import { metricsData } from "./metrics_data.ts";
import type { OtlpTarget, TelemetryResource } from "./resource.ts";
import type { Config } from "../config/schema.ts";
import type { Env } from "../env.ts";
import type { ReadFile } from "../process/secret_file.ts";
import { within } from "../within.ts";

/** A running export. */
export interface MetricsExport {
  /**
   * Sends the last values, then ends. Takes at most `timeout_ms`, or half a second if the previous export failed. Never
   * rejects. Idempotent.
   */
  shutdown(): Promise<void>;
}

/** The dependencies of the export. */
export interface MetricsExportOptions extends Pick<Env, "registry" | "log" | "now"> {
  readonly telemetry: Config["telemetry"];
  readonly resource: TelemetryResource;
  readonly readTextFile: ReadFile;
}

/** How long the end waits for a collector whose last export failed. */
const LOST_MS = 500;
/** Concurrent exports; with the timeout below the interval there is one. */
const CONCURRENCY = 2;
/** Longest text of an error in the log. */
const CAUSE_CHARACTERS = 200;

function producerOf(
  { registry, resource, now }: MetricsExportOptions,
  start_ms: number,
): MetricProducer {
  const scope = { name: "arqon", version: resource["service.version"] };
  return {
    async collect() {
      const metrics = await metricsData(registry, { start_ms, end_ms: now() });
      const resource = resourceFromAttributes({});
      return { resourceMetrics: { resource, scopeMetrics: [{ scope, metrics }] }, errors: [] };
    },
  };
}

/** The exporter, which counts failures and logs when they begin and end. */
class WatchedExporter implements PushMetricExporter {
  readonly #exporter: PushMetricExporter;
  readonly #log: Logger;
  readonly #count: (outcome: "ok" | "failed") => void;
  /** The last export failed. */
  failing = false;

  constructor(exporter: PushMetricExporter, { registry, log }: MetricsExportOptions) {
    this.#exporter = exporter;
    this.#log = log;
    this.#count = exportCounter(registry, "metrics");
  }

  export(metrics: ResourceMetrics, done: (result: ExportResult) => void): void {
    this.#exporter.export(metrics, (result) => {
      const ok = result.code === ExportResultCode.SUCCESS;
      this.#count(ok ? "ok" : "failed");
      if (ok === this.failing) this.#tell(ok, result.error);
      done(result);
    });
  }

  #tell(ok: boolean, error: Error | undefined): void {
    this.failing = !ok;
    if (ok) return this.#log.info("metrics reach the collector again");
    // No stack, which is the exporter's, and no address, which may have a password in it.
    this.#log.warn("metrics do not reach the collector", {
      cause: error?.message.slice(0, CAUSE_CHARACTERS),
    });
  }

  forceFlush(): Promise<void> {
    return this.#exporter.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }

  selectAggregationTemporality(): AggregationTemporality {
    return AggregationTemporality.CUMULATIVE;
  }
}

/**
 * Exports all metrics of the registry every `metrics_interval_ms`. An unresponsive collector costs one request at a
 * time, of `timeout_ms` at most; a failed export is not retried, since the next one has the totals.
 */
export function startMetricsExport(
  options: MetricsExportOptions,
  target: OtlpTarget,
): MetricsExport {
  const { metrics_interval_ms, timeout_ms } = options.telemetry;
  // The SDK requires one export to end before the next is due.
  const timeoutMillis = Math.min(timeout_ms, metrics_interval_ms);
  const otlp = new OTLPMetricExporter({ ...target, timeoutMillis, concurrencyLimit: CONCURRENCY });
  const exporter = new WatchedExporter(otlp, options);
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: metrics_interval_ms,
    exportTimeoutMillis: timeoutMillis,
    metricProducers: [producerOf(options, performance.timeOrigin)],
  });
  const resource = resourceFromAttributes({ ...SDK_INFO, ...options.resource });
  new MeterProvider({ resource, readers: [reader] });
  let ended: Promise<void> | undefined;
  const shutdown = async (): Promise<void> => {
    const limit_ms = exporter.failing ? Math.min(LOST_MS, timeoutMillis) : timeoutMillis;
    // The failure was counted and logged.
    await within(limit_ms, reader.shutdown().catch(() => {}), () => {});
  };
  return { shutdown: () => ended ??= shutdown() };
}
