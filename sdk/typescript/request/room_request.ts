/**
 * Publishes and commands of a room as requests: their options, the encoding of data, the trace, and the envelope. The
 * connection signs, sends, waits and repeats.
 */
import { type Ack, encodeUtf8, type EnvelopeInput, type Uint64 } from "@arqon/proto";
import { backoffDelay, sleep } from "../time/clock.ts";
import { isPassing } from "../wire/wire_error.ts";

/** Any JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | {
  readonly [key: string]: Json;
};

/**
 * Values that can be written as JSON: interfaces, classes and anything that `JSON.stringify` accepts. At the top level
 * it excludes values that this would lose: functions, promises, maps, sets and buffers.
 */
export type JsonInput =
  | string
  | number
  | boolean
  | null
  | { readonly [key: string]: unknown }
  | object & {
    readonly [Symbol.hasInstance]?: never;
    readonly [Symbol.toStringTag]?: never;
  };

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
 * The data of a message. Bytes are sent unchanged, a string as text, anything else as JSON. With a JSON `content_type`
 * a string is JSON text and is sent unchanged.
 */
export type Data = Uint8Array | JsonInput;

/** Options of `Room.publish`. */
export interface PublishOptions extends TraceOptions {
  /** Wait for the Shield's acknowledgement; default true. Without it only `onError` receives a refusal. */
  readonly ack?: boolean;
  /** Idempotency key: with it the SDK repeats the publish after a reconnect, and it is delivered once. */
  readonly message_id?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default by the kind of data: application/octet-stream, text/plain or application/json. */
  readonly content_type?: string;
  readonly schema_id?: string;
  /** Timeout in ms, including the wait for a reconnect. */
  readonly timeout_ms?: number;
  /**
   * Aborting rejects at once with the signal's reason. An unsent request is not sent; a sent one may have taken effect.
   */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `Room.command`, including its conditions: the command's fields of the same names in `envelope.proto`. */
export interface CommandOptions extends Omit<PublishOptions, "ack" | "schema_id" | "message_id"> {
  /** Refused with 409 `version-conflict` unless the room has this version; 0: any. */
  readonly expect_version?: Uint64;
  readonly after_version?: Uint64;
  readonly fence?: Uint64;
  readonly epoch?: string;
  /** Idempotency key: with it the SDK repeats the command after a reconnect. */
  readonly command_id?: string;
}

/** The outcome of a publish: the ACK, and the ids for `explain` and `arq why`. */
export interface Published extends Ack {
  readonly room: string;
  /** `PublishOptions.message_id`, or empty. */
  readonly message_id: string;
  /** Its trace: `PublishOptions.trace_id`, the one of `traceparent`, or a new one. */
  readonly trace_id: string;
}

/** The ids of a publish without an acknowledgement, for `explain` and `arq why`. */
export interface Handed extends Pick<Published, "room" | "message_id" | "trace_id"> {
  readonly offset?: undefined;
}

/** The Brain's answer to a command. */
export interface CommandResult {
  /** The bytes from the Brain. */
  readonly bytes: Uint8Array;
  /** The result as JSON; undefined if it is empty. Throws SyntaxError if it is not JSON. */
  json<Value = unknown>(): Value;
}

/**
 * A publish or command for the connection. An undefined `timeout_ms` means the connection's `request_timeout_ms`;
 * `answered` and `repeatable` are as in `OutboxRequest`.
 */
export interface PortRequest {
  /** The envelope, without request id and signature; `data` is copied before `request` returns. */
  readonly envelope: EnvelopeInput;
  readonly answered: boolean;
  readonly repeatable: boolean;
  readonly timeout_ms: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** The part of a room that sends commands. */
export interface CommandRoom {
  readonly id: string;
  command(name: string, data?: Data, options?: CommandOptions): Promise<CommandResult>;
}

/** Sends requests. */
export interface RequestPort {
  /** Sends a request and resolves with its ACK. */
  request(request: PortRequest): Promise<Ack | undefined>;
  /** `ConnectOptions.traceparent`. */
  readonly traceparent?: (() => string | undefined) | undefined;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Two lowercase hexadecimal digits for each byte. */
export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX[byte];
  return text;
}

/** Length of a trace id, and how many are drawn at once: the call for random bytes costs more than the bytes. */
const TRACE_ID_BYTES = 16, POOL_IDS = 64;
const pool = new Uint8Array(TRACE_ID_BYTES * POOL_IDS);
let used = pool.length;

/** 32 lowercase hex digits; the invalid id of zeros is as improbable as a collision. */
function newTraceId(): string {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  return hex(pool.subarray(used, used += TRACE_ID_BYTES));
}

/** A `traceparent`: any version, with the fields of version 00, and ids that are not all zero. */
const FORM = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/;

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

/** Data of a message with its content type. */
export function encodeData(data: Data | undefined, content_type: string | undefined) {
  if (data instanceof Uint8Array) {
    return { data, content_type: content_type ?? "application/octet-stream" };
  }
  const text = typeof data === "string" ? data : JSON.stringify(data) as string | undefined;
  const natural = typeof data === "string" ? "text/plain" : text && "application/json";
  return { data: encodeUtf8(text), content_type: content_type ?? natural };
}

/** Sends an event or a command; with an idempotency `key` it may be repeated. */
export async function send(
  port: RequestPort,
  room: string,
  payload: Pick<EnvelopeInput, "event" | "command" | "message_id">,
  options: Pick<PublishOptions, "headers" | "timeout_ms" | "signal" | "ack"> & TraceOptions,
  key: string | undefined,
): Promise<Published | Handed & { readonly result?: undefined }> {
  const { timeout_ms, signal, ack: answered = true } = options;
  const traced = tracedBy(options, port.traceparent);
  const envelope = { room_id: room, ...traced, ...payload };
  const repeatable = key !== undefined;
  const ack = await port.request({ envelope, answered, repeatable, timeout_ms, signal });
  const { message_id = "" } = payload;
  // Without an ACK there are only these three.
  return { ...ack as Ack, room, message_id, trace_id: traced.trace_id };
}

/** Sends a command and returns its answer, unchecked. */
export async function ask<Answer>(
  room: CommandRoom,
  name: string,
  data: Readonly<Record<string, JsonInput | undefined>>,
  options: CommandOptions,
): Promise<Answer> {
  const request_options = { ...options, content_type: "application/json" };
  return (await room.command(name, data as Data, request_options)).json() as Answer;
}

const PATIENCE = { base_ms: 100, max_ms: 2_000 };

/** Repeats a request that may be repeated after temporary refusals, for `patience_ms` at most, until an abort. */
export async function patiently<Answer>(
  send: () => Promise<Answer>,
  signal?: AbortSignal,
  patience_ms = 60_000,
): Promise<Answer> {
  const until_ms = performance.now() + patience_ms;
  for (let attempt = 0;; attempt++) {
    try {
      return await send();
    } catch (error) {
      if (!isPassing(error) || signal?.aborted || performance.now() > until_ms) throw error;
      const wait_ms = Math.max(error.retry_after_ms, backoffDelay(attempt, PATIENCE, Math.random));
      await sleep(wait_ms, signal);
    }
  }
}
