/** The trace of a message: the program's, by W3C `traceparent`, or a new one. Creates no spans. */
const ID_BYTES = 16;
/** Random bytes are requested for many ids at once: the call costs more than the bytes. */
const POOL_IDS = 64;
const pool = new Uint8Array(ID_BYTES * POOL_IDS);
let used = pool.length;

const HEX: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => byte.toString(16).padStart(2, "0"),
);

/** 32 lowercase hex digits; the invalid id of zeros is as improbable as a collision. */
function newTraceId(): string {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  let id = "";
  for (const end = used + ID_BYTES; used < end; used++) id += HEX[pool[used]!];
  return id;
}

/** A `traceparent`: any version, with the fields of version 00, and ids that are not all zero. */
const FORM = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/;

/** The trace of a message, in `PublishOptions` and `CommandOptions`. */
export interface TraceOptions {
  /** W3C trace id, 32 lowercase hex digits; absent: a new one. */
  readonly trace_id?: string;
  /**
   * The span that the message belongs to, `00-0af7…319c-b7ad…3331-01`: the bus continues that trace, and records it if
   * the sampled flag is set. Default: the result of `ConnectOptions.traceparent`.
   */
  readonly traceparent?: string;
}

/**
 * A message's trace and headers. A `trace_id` in the options overrides the connection's `current`. Throws TypeError for
 * an invalid `traceparent`, or one of another trace.
 */
export function tracedBy(
  options: TraceOptions & { readonly headers?: Readonly<Record<string, string>> },
  current: (() => string | undefined) | undefined,
): { trace_id: string; headers: Readonly<Record<string, string>> | undefined } {
  const { trace_id, headers } = options;
  const traceparent = options.traceparent ?? (trace_id === undefined ? current?.() : undefined);
  if (traceparent === undefined) return { trace_id: trace_id ?? newTraceId(), headers };
  const given = FORM.exec(traceparent)?.[1];
  if (given === undefined || (trace_id ?? given) !== given) {
    const shown = JSON.stringify(traceparent.slice(0, 100));
    throw new TypeError(`traceparent is ${shown}; expected 00-<32>-<16>-<2> of trace_id`);
  }
  return { trace_id: given, headers: { ...headers, traceparent } };
}
