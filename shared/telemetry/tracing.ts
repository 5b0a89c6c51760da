/**
 * Traces for the rest of the process: running spans, and where they start. `start.ts` makes a `Tracing` if the
 * config names a collector and enables traces; otherwise there is none, and callers only check for it.
 */
import type { Config } from "../config/schema.ts";
import type { Env } from "../env.ts";
import type { ReadFile } from "../process/secret_file.ts";
import type { TelemetryResource } from "./resource.ts";
import type { SpanParent } from "./trace_context.ts";
import type { TraceSampler } from "./trace_sampler.ts";

/** The role of a span, as in OpenTelemetry. */
export type SpanKind = "internal" | "server" | "client" | "producer" | "consumer";

/** Attributes of a span. Never a token, and of a payload or headers only what policies log of them. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** A running, recorded span. It reaches the collector after `end`. */
export interface Span {
  readonly trace_id: string;
  /** The context of this span, for child spans elsewhere. */
  readonly traceparent: string;
  readonly ended: boolean;
  child(name: string, kind: SpanKind, attributes?: SpanAttributes, start_ms?: number): Span;
  set(attributes: SpanAttributes): void;
  /** Adds an event of now. The caller limits their number, and their texts. */
  event(name: string, attributes: SpanAttributes): void;
  /** Marks it as failed, with a reason of proto/errors.json. */
  fail(reason: string): void;
  /** Calls after the first do nothing. `end_ms` as in `Tracing.now_ms`. */
  end(end_ms?: number): void;
}

/** The start of a span. */
export interface SpanStart {
  readonly name: string;
  readonly kind: SpanKind;
  readonly parent: SpanParent;
  readonly attributes: SpanAttributes;
  /** Absent: now. */
  readonly start_ms?: number;
}

/** The traces of a process. */
export interface Tracing {
  readonly sampler: TraceSampler;
  /** Unix ms with fractions; the clock of spans and of the sampler. */
  now_ms(): number;
  /** Starts a span. The caller has asked the sampler, or continues a recorded trace. */
  start(start: SpanStart): Span;
  /** Counts a `traceparent` that was invalid, or differed from its message's trace. */
  countInvalid(): void;
  /** Sends what is queued and ends. Resolves within `telemetry.timeout_ms`, with or without a collector. */
  stop(): Promise<void>;
}

/** The dependencies and settings of `startTracing`. */
export interface TracingOptions extends Pick<Env, "registry" | "log"> {
  readonly telemetry: Config["telemetry"];
  readonly resource: TelemetryResource;
  readonly readTextFile: ReadFile;
  /** Unix ms with fractions. */
  readonly now_ms: () => number;
}
