/**
 * Decides which traces are recorded: the parent decides, else a ratio by trace id, and refusals may be recorded without
 * a request. A token bucket limits what clients can cause. Pure: time is an argument.
 */
import { createBucket, setRate, take, type TokenBucket } from "../rates/token_bucket.ts";
import type { TraceContext } from "./trace_context.ts";

/** From `[telemetry]`. */
export interface SamplerOptions {
  /** Share of the traces started here, in [0, 1]. */
  readonly ratio: number;
  /** Traces per second that clients may request; also the burst. */
  readonly per_second: number;
  /** Whether refusals count as requested. */
  readonly on_error: boolean;
}

const RANDOM_BITS = 53;
const TRACE_ID_DIGITS = 32;

function digit(code: number): number {
  return code <= 0x39 ? code - 0x30 : (code | 0x20) - 0x57;
}

function digits(text: string, from: number, count: number): number {
  let value = 0;
  for (let at = from; at < from + count; at++) value = value * 16 + digit(text.charCodeAt(at));
  return value;
}

/** The 53 upper of the 56 random bits of a trace id, which are its last 14 digits. */
export function randomnessOf(trace_id: string): number {
  return digits(trace_id, TRACE_ID_DIGITS - 14, 6) * 2 ** 29 +
    Math.floor(digits(trace_id, TRACE_ID_DIGITS - 8, 8) / 8);
}

/** The random number in the 16 bytes of a trace id. */
export function randomnessOfBytes(bytes: Uint8Array): number {
  const high = bytes[9]! << 16 | bytes[10]! << 8 | bytes[11]!;
  const low = (bytes[12]! << 24 | bytes[13]! << 16 | bytes[14]! << 8 | bytes[15]!) >>> 3;
  return high * 2 ** 29 + low;
}

/** As in OpenTelemetry's consistent sampling: values not below the threshold are sampled. */
const belowOf = (ratio: number) => Math.ceil((1 - ratio) * 2 ** RANDOM_BITS);

/** The sampler; one per process. Its options may change while it runs. Its answers allocate nothing. */
export class TraceSampler {
  readonly #options: SamplerOptions;
  #ratio: number;
  #below: number;
  readonly #bucket: TokenBucket;

  /** `now_ms` in any clock, the same for all calls. */
  constructor(options: SamplerOptions, now_ms: number) {
    this.#options = options;
    this.#ratio = options.ratio;
    this.#below = belowOf(options.ratio);
    this.#bucket = createBucket(options.per_second, now_ms, options.per_second);
  }

  /** Whether children of a client's span are recorded: if it requests that and the limit allows it. */
  takesChild({ sampled }: TraceContext, now_ms: number): boolean {
    return sampled && this.#take(now_ms);
  }

  /**
   * Whether a trace with a client's id, but without a parent, is recorded. The same on every Shield except for the
   * limit; a larger ratio includes everything of a smaller one.
   */
  takesRoot(trace_id: string, now_ms: number): boolean {
    return randomnessOf(trace_id) >= this.#threshold && this.#take(now_ms);
  }

  /** Whether a trace that starts here is recorded; `trace_id` has 16 random bytes. */
  takesNew(trace_id: Uint8Array): boolean {
    return randomnessOfBytes(trace_id) >= this.#threshold;
  }

  /** Whether the span of a refusal is recorded that is not part of a recorded trace. */
  takesRefusal(now_ms: number): boolean {
    return this.#options.on_error && this.#take(now_ms);
  }

  get #threshold(): number {
    const { ratio } = this.#options;
    if (ratio !== this.#ratio) this.#below = belowOf(this.#ratio = ratio);
    return this.#below;
  }

  #take(now_ms: number): boolean {
    const { per_second } = this.#options;
    setRate(this.#bucket, per_second, per_second);
    return take(this.#bucket, 1, now_ms) === 0;
  }
}
