/**
 * Traces as the rest of the process sees them: a span under way, and where spans begin. `tracing_start.ts` makes a
 * `Tracing` when the config names a collector and wants traces; else there is none, and callers only look for one.
 */
import type { Config } from "../config/schema.ts";
import type { Env } from "../env.ts";
import type { ReadFile } from "../process/secret_file.ts";
import type { TelemetryResource } from "./resource.ts";
import type { SpanParent } from "./trace_context.ts";
import type { TraceSampler } from "./trace_sampler.ts";

/** What a span is to its parent, as OpenTelemetry has it. */
export type SpanKind = "internal" | "server" | "client" | "producer" | "consumer";

/** What is known of a span. Never a token, and of a payload or headers only what policies log of them. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** A span under way, recorded. It reaches the collector after `end`. */
export interface Span {
  readonly trace_id: string;
  /** The context of this span, for whoever goes on with the trace. */
  readonly traceparent: string;
  readonly ended: boolean;
  /** Begins a span below this one; at `start_ms`, else now. */
  child(name: string, kind: SpanKind, attributes?: SpanAttributes, start_ms?: number): Span;
  set(attributes: SpanAttributes): void;
  /** Something that happened now. The caller bounds how many there are, and their texts. */
  event(name: string, attributes: SpanAttributes): void;
  /** Marks it as failed, with a reason of proto/errors.json. */
  fail(reason: string): void;
  /** Calls after the first do nothing. `end_ms` as in `Tracing.now_ms`. */
  end(end_ms?: number): void;
}

/** How a span begins. */
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
  /** Begins a span. Who calls it has asked the sampler, or goes on with a trace that is recorded. */
  start(start: SpanStart): Span;
  /** Counts a `traceparent` that was none, or not that of its message's trace. */
  countInvalid(): void;
  /** Sends what is queued and ends. Resolves within `telemetry.timeout_ms`, collector or not. */
  stop(): Promise<void>;
}

/** What tracing needs of the process. */
export interface TracingOptions extends Pick<Env, "registry" | "log"> {
  readonly telemetry: Config["telemetry"];
  readonly resource: TelemetryResource;
  /** Reads the file of `headers_file`. */
  readonly readTextFile: ReadFile;
  /** Unix ms with fractions. */
  readonly now_ms: () => number;
}
