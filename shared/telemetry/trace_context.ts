/**
 * W3C Trace Context, level 1: parses and formats `traceparent`. Pure. Without `tracestate` and without decisions:
 * `trace_sampler.ts` samples.
 */

/** Header and Spine header that carries a context. */
export const TRACEPARENT = "traceparent";

/** The parent of a span, from `traceparent`. */
export interface TraceContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly trace_id: string;
  /** 16 lower-case hex digits, not all zero: the parent span. */
  readonly span_id: string;
  /** True if the sender records the trace. */
  readonly sampled: boolean;
}

/** The parent of a span: a context, or a trace that starts with it. */
export interface SpanParent extends Pick<TraceContext, "trace_id"> {
  readonly span_id?: string;
  /** True for a span of this process; absent: the context came from outside. */
  readonly is_local?: boolean;
}

/** `00-` with ids and flags; later versions may continue after another dash. */
const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const NO_TRACE = "0".repeat(32);
const NO_SPAN = "0".repeat(16);
/** Version 255 is forbidden. */
const FORBIDDEN = "ff";
const SAMPLED = 1;
/** Longest text that is parsed: later versions may be longer. */
const TEXT_UNITS_MAX = 512;

/**
 * Parses a context; undefined for another form, upper-case digits, version ff, all-zero ids, or a rest after the flags
 * of version 00. Unknown flags are ignored; of a later version, the fields of version 00 are read.
 */
export function parseTraceparent(text: string): TraceContext | undefined {
  if (text.length > TEXT_UNITS_MAX) return undefined;
  const parts = FORM.exec(text);
  if (parts === null) return undefined;
  const [, version, trace_id = "", span_id = "", flags = "", rest] = parts;
  if (version === FORBIDDEN || (version === "00" && rest !== undefined)) return undefined;
  if (trace_id === NO_TRACE || span_id === NO_SPAN) return undefined;
  return { trace_id, span_id, sampled: (parseInt(flags, 16) & SAMPLED) !== 0 };
}

/** Version 00. */
export function formatTraceparent({ trace_id, span_id, sampled }: TraceContext): string {
  return `00-${trace_id}-${span_id}-${sampled ? "01" : "00"}`;
}
