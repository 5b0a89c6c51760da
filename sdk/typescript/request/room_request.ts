/**
 * Publishes and commands of a room as requests: their options, the encoding of data, and the envelope. The connection
 * signs, sends, waits and repeats.
 */
import { type Ack, encodeUtf8, type EnvelopeInput, type Uint64 } from "@arqon/proto";
import type { JsonInput } from "../wire/json.ts";
import { tracedBy, type TraceOptions } from "./trace_parent.ts";

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
