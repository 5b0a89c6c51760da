/**
 * Traces by the OpenTelemetry SDK: spans, their queue, their OTLP export. Only `tracing.ts` loads it.
 * `trace_sampler.ts` has sampled before.
 */
import { ROOT_CONTEXT, SpanKind as OtelKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { Context, Span as OtelSpan, Tracer } from "@opentelemetry/api";
import { type ExportResult, ExportResultCode, SDK_INFO } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  RandomIdGenerator,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { ReadableSpan, SpanExporter, SpanProcessor } from "@opentelemetry/sdk-trace";
import { Counter, type Registry, scraped } from "../metrics/metrics.ts";
import type { Logger } from "../logs/log.ts";
import { exportCounter } from "./export_stats.ts";
import type { OtlpTarget } from "./resource.ts";
import { formatTraceparent, type SpanParent } from "./trace_context.ts";
import { type SamplerOptions, TraceSampler } from "./trace_sampler.ts";
import type {
  Span,
  SpanAttributes,
  SpanKind,
  SpanStart,
  Tracing,
  TracingOptions,
} from "./tracing.ts";
import { within } from "../within.ts";

const BATCH_SPANS_MAX = 512;
const BATCH_DELAY_MS = 1_000;
/** Longest text of an attribute; the rest is cut off. */
const ATTRIBUTE_UNITS_MAX = 512;
const SAMPLED = 1;

const KINDS: Readonly<Record<SpanKind, OtelKind>> = {
  internal: OtelKind.INTERNAL,
  server: OtelKind.SERVER,
  client: OtelKind.CLIENT,
  producer: OtelKind.PRODUCER,
  consumer: OtelKind.CONSUMER,
};

/** Between the SDK's queue and its exporter, and before that queue: limits and counts spans. */
class SpanQueue implements SpanProcessor, SpanExporter {
  readonly #exporter: SpanExporter;
  readonly #batches: BatchSpanProcessor;
  readonly #spans_max: number;
  readonly #log: Logger;
  readonly #count: (outcome: "ok" | "failed") => void;
  #waiting = 0;
  #dropped = 0;
  #failing = false;

  constructor(options: TracingOptions, target: OtlpTarget) {
    const { queue_spans, timeout_ms } = options.telemetry;
    this.#exporter = new OTLPTraceExporter(target);
    this.#spans_max = queue_spans;
    this.#log = options.log;
    this.#count = exportCounter(options.registry, "traces");
    this.#batches = new BatchSpanProcessor({
      // Not this class: the processor ends its exporter, and the two would end each other.
      exporter: {
        export: (spans, done) => this.export(spans, done),
        shutdown: () => this.#exporter.shutdown(),
      },
      maxQueueSize: queue_spans,
      maxExportBatchSize: Math.min(queue_spans, BATCH_SPANS_MAX),
      scheduledDelayMillis: BATCH_DELAY_MS,
      exportTimeoutMillis: timeout_ms,
    });
    registerDropped(options.registry, () => this.#dropped, () => this.#waiting);
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#waiting >= this.#spans_max) {
      this.#dropped++;
      return;
    }
    this.#waiting++;
    this.#batches.onEnd(span);
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#waiting -= spans.length;
    this.#exporter.export(spans, (result) => {
      const ok = result.code === ExportResultCode.SUCCESS;
      this.#count(ok ? "ok" : "failed");
      if (!ok) this.#dropped += spans.length;
      this.#tell(ok, result.error);
      done(result);
    });
  }

  /** Logs once when exports begin to fail, and once when they work again. */
  #tell(ok: boolean, error: Error | undefined): void {
    if (ok !== this.#failing) return;
    this.#failing = !ok;
    if (ok) this.#log.info("traces reach the collector again");
    // Without the error's stack, which is the exporter's; the address is in the configuration.
    else this.#log.warn("traces do not reach the collector", { cause: error?.message });
  }

  forceFlush(): Promise<void> {
    return this.#batches.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#batches.shutdown();
  }
}

function registerDropped(registry: Registry, dropped: () => number, waiting: () => number): void {
  scraped(registry, {
    "arqon_spans_dropped_total": [
      "Spans not exported: the queue was full, or the collector did not take them.",
      dropped,
    ],
    "arqon_spans_waiting": [
      "Spans that wait for an export; telemetry.queue_spans bounds it.",
      waiting,
    ],
  });
}

/** Random span ids; a trace has its id before it has a span. */
class Ids extends RandomIdGenerator {
  /** The id of the next trace. */
  next = "";

  override generateTraceId = (): string => this.next;
}

class SdkSpan implements Span {
  readonly #begin: (start: SpanStart) => Span;
  readonly #span: OtelSpan;
  readonly #now_ms: () => number;
  #ended = false;

  constructor(span: OtelSpan, begin: (start: SpanStart) => Span, now_ms: () => number) {
    this.#span = span;
    this.#begin = begin;
    this.#now_ms = now_ms;
  }

  get trace_id(): string {
    return this.#span.spanContext().traceId;
  }

  get traceparent(): string {
    const { traceId: trace_id, spanId: span_id } = this.#span.spanContext();
    return formatTraceparent({ trace_id, span_id, sampled: true });
  }

  child(
    name: string,
    kind: SpanKind,
    attributes: SpanAttributes = {},
    start_ms = this.#now_ms(),
  ): Span {
    const { traceId: trace_id, spanId: span_id } = this.#span.spanContext();
    return this.#begin({
      name,
      kind,
      parent: { trace_id, span_id, is_local: true },
      attributes,
      start_ms,
    });
  }

  set(attributes: SpanAttributes): void {
    this.#span.setAttributes(attributes);
  }

  event(name: string, attributes: SpanAttributes): void {
    this.#span.addEvent(name, attributes, this.#now_ms());
  }

  fail(reason: string): void {
    this.#span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
    this.#span.setAttribute("error.type", reason);
  }

  get ended(): boolean {
    return this.#ended;
  }

  end(end_ms = this.#now_ms()): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#span.end(end_ms);
  }
}

function contextOf({ trace_id: traceId, span_id: spanId, is_local = false }: SpanParent): Context {
  if (spanId === undefined) return ROOT_CONTEXT;
  const context = { traceId, spanId, traceFlags: SAMPLED, isRemote: !is_local };
  return trace.setSpanContext(ROOT_CONTEXT, context);
}

function spansOf(tracer: Tracer, ids: Ids, now_ms: () => number): (start: SpanStart) => Span {
  const begin = ({ name, kind, parent, attributes, start_ms = now_ms() }: SpanStart): Span => {
    ids.next = parent.trace_id;
    const span = tracer.startSpan(
      name,
      { kind: KINDS[kind], startTime: start_ms, attributes },
      contextOf(parent),
    );
    return new SdkSpan(span, begin, now_ms);
  };
  return begin;
}

function samplerOptions(telemetry: TracingOptions["telemetry"]): SamplerOptions {
  return {
    get ratio() {
      return telemetry.traces_ratio;
    },
    get per_second() {
      return telemetry.traces_per_second;
    },
    get on_error() {
      return telemetry.traces_on_error;
    },
  };
}

/** Starts the SDK. It sends nothing except spans. */
export function openTracing(options: TracingOptions, target: OtlpTarget): Tracing {
  const { telemetry, resource, registry, now_ms } = options;
  const ids = new Ids();
  const queue = new SpanQueue(options, target);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ ...SDK_INFO, ...resource }),
    sampler: new AlwaysOnSampler(),
    idGenerator: ids,
    spanLimits: { attributeValueLengthLimit: ATTRIBUTE_UNITS_MAX },
    spanProcessors: [queue],
  });
  const invalid = new Counter({
    name: "arqon_invalid_traceparents_total",
    help: "traceparents of clients that were none, or not of the trace_id beside them: ignored.",
    registers: [registry],
  });
  return {
    sampler: new TraceSampler(samplerOptions(telemetry), now_ms()),
    now_ms,
    start: spansOf(provider.getTracer("arqon", resource["service.version"]), ids, now_ms),
    countInvalid: () => invalid.inc(),
    // Spans that do not reach the collector are counted at the export.
    stop: () => within(telemetry.timeout_ms, provider.shutdown().catch(() => {}), () => {}),
  };
}
