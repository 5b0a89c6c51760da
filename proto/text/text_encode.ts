/**
 * Encodes the Shield's text frames as JSON strings. JSON data is inserted byte for byte; numbers above 2^53 become
 * strings. `text.ts` decodes a client's text frames.
 */
import { encodeBase64 } from "./base64.ts";
import { dataForm } from "./content_type.ts";
import { isJson, nestsTooDeep } from "./json_text.ts";
import type { Ack, Welcome } from "../frame/control.ts";
import { payloadOf, type PlainCommand, type PlainEnvelope } from "../envelope/envelope.ts";
import type { PlainEvent, PlainSignal } from "../envelope/envelope.ts";
import { utf8OrUndefined } from "../wire/utf8.ts";
import type { Delta } from "../frame/delta.ts";
import type { Uint64 } from "../wire/wire.ts";

/** The parts of an ERR; an `ArqonError` has this form. */
export interface TextErr {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly retry_after_ms?: number;
  /** The room of the refusal. */
  readonly room?: string;
  /** The refused or ended action in it. */
  readonly action?: string;
}

/** Text that JSON has as it is. */
const PLAIN = /^[ !#-[\]-~]{0,64}$/;

/** As JSON; most texts are short names, which take twice as long without a look at them. */
const quote = (text: string): string => PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);

function number(value: Uint64): string {
  return typeof value === "bigint" ? `"${value}"` : String(value);
}

/** `,"name":"value"`, or nothing for "". */
function optionalText(name: string, value: string | undefined): string {
  return value === undefined || value === "" ? "" : `,"${name}":${quote(value)}`;
}

/** `,"name":1`, or nothing for 0. */
function optionalNumber(name: string, value: Uint64 | undefined): string {
  return value === undefined || value === 0 || value === 0n ? "" : `,"${name}":${number(value)}`;
}

/** First bytes of JSON: white space, or the first character of a value. */
const JSON_START = /* @__PURE__ */ new Set(
  [...'\t\n\r "-0123456789[fnt{'].map((one) => one.charCodeAt(0)),
);

/** The text of the bytes if they are JSON, otherwise `undefined`. */
export function jsonText(bytes: Uint8Array): string | undefined {
  // Invalid UTF-8 would cost an exception.
  if (!JSON_START.has(bytes[0] ?? 0)) return undefined;
  const text = utf8OrUndefined(bytes);
  return text !== undefined && isJson(text) ? text : undefined;
}

function base64(bytes: Uint8Array): string {
  return `{"base64":"${encodeBase64(bytes)}"}`;
}

/** Data as JSON, and its content type if none is named; undefined: no data. */
interface DataText {
  readonly json: string;
  readonly untyped?: string;
}

/** Data in text frames: JSON inline, text as a string, otherwise base64. */
export function dataText(data: Uint8Array, content_type: string): DataText | undefined {
  const form = dataForm(content_type);
  if (form === "text") {
    const text = utf8OrUndefined(data);
    return text === undefined
      ? { json: base64(data) }
      : { json: quote(text), untyped: "text/plain" };
  }
  if (data.length === 0) return undefined;
  const json = form === "json" ? jsonText(data) : undefined;
  // Parsers of many languages would refuse such deep nesting, and lose the connection.
  if (json === undefined || nestsTooDeep(json)) return { json: base64(data) };
  return { json, untyped: "application/json" };
}

/** The members `data` and `content_type`, each after a comma; without data no member. */
function dataMembers(data: Uint8Array, content_type: string): string {
  const text = dataText(data, content_type);
  const typed = text?.untyped === content_type ? "" : optionalText("content_type", content_type);
  return text === undefined ? typed : `,"data":${text.json}${typed}`;
}

/** All members, also 0 and "", because people read this frame. `connection` is `connection_id`. */
export function encodeTextWelcome(welcome: Partial<Welcome>): string {
  return `{"op":"welcome","connection":${quote(welcome.connection_id ?? "")}` +
    `,"user_id":${quote(welcome.user_id ?? "")}` +
    `,"tenant_id":${quote(welcome.tenant_id ?? "")}` +
    `,"server_time_ms":${welcome.server_time_ms ?? 0}` +
    `,"heartbeat_ms":${welcome.heartbeat_ms ?? 0}` +
    `,"max_frame_bytes":${welcome.max_frame_bytes ?? 0}` +
    `,"token_expires_ms":${welcome.token_expires_ms ?? 0}` +
    `,"node_id":${quote(welcome.node_id ?? "")}` +
    `,"protocol_version":${welcome.protocol_version ?? 0}}`;
}

/** `id` and `code` always; other members only if set. A JSON `result` is inserted unchanged. */
export function encodeTextAck(ack: Partial<Ack>): string {
  const { result } = ack;
  const shown = result === undefined || result.length === 0
    ? ""
    : `,"result":${jsonText(result) ?? base64(result)}`;
  return `{"op":"ack","id":${number(ack.request_id ?? 0)},"code":${ack.code ?? 0}` +
    optionalText("reason", ack.reason) + optionalText("message", ack.message) +
    optionalNumber("offset", ack.offset) + optionalNumber("retry_after_ms", ack.retry_after_ms) +
    `${shown}}`;
}

/** A refusal without a request; wait, room and action are members only if set. */
export function encodeTextErr(err: TextErr): string {
  return `{"op":"err","code":${err.code},"reason":${quote(err.reason)}` +
    `,"message":${quote(err.message)}` +
    optionalNumber("retry_after_ms", err.retry_after_ms) +
    `${optionalText("room", err.room)}${optionalText("action", err.action)}}`;
}

/** A MSG: `encodeTextMessage(readEnvelope(frame.subarray(1)))`, once for all text receivers. */
export function encodeTextMessage(envelope: PlainEnvelope): string {
  return messageText(envelope, payloadMembers(envelope));
}

/**
 * A MSG with an event for a client that requested deltas. `data` is a string: the text of the data, or of a diff from
 * the data with number `base`; `{"base64":"…"}` for a diff that is not UTF-8. Throws TypeError for anything but an
 * event.
 */
export function encodeTextDelta(envelope: PlainEnvelope, delta: Delta): string {
  const { event } = envelope;
  if (event === undefined) throw new TypeError("this envelope has no event");
  const text = utf8OrUndefined(event.data);
  const payload =
    `,"type":${quote(event.type)},"delta":{"slot":${delta.slot},"number":${delta.number}` +
    `${optionalNumber("base", delta.base)}},"data":${
      text === undefined ? base64(event.data) : quote(text)
    }` +
    optionalText("content_type", event.content_type) + optionalText("schema_id", event.schema_id);
  return messageText(envelope, payload);
}

function messageText(envelope: PlainEnvelope, payload: string): string {
  let text = `{"op":"msg","room":${quote(envelope.room_id)}${payload}`;
  text += `,"sender":${quote(envelope.sender_id)},"ts":${envelope.timestamp_ms}` +
    `,"headers":${quoteHeaders(envelope.headers)}` +
    optionalText("trace_id", envelope.trace_id) + optionalText("tenant_id", envelope.tenant_id) +
    optionalText("message_id", envelope.message_id) + optionalNumber("offset", envelope.offset);
  if (envelope.signature !== undefined) {
    text += `,"signature":"${encodeBase64(envelope.signature)}"`;
  }
  return `${text}}`;
}

function payloadMembers(envelope: PlainEnvelope): string {
  const payload = payloadOf(envelope);
  switch (payload?.kind) {
    case "event":
      return eventMembers(payload.event);
    case "command":
      return commandMembers(payload.command);
    case "signal":
      return `,"signal":${signalText(payload.signal)}`;
    case undefined:
      return "";
    default:
      return payload satisfies never;
  }
}

function eventMembers(event: PlainEvent): string {
  return `,"type":${quote(event.type)}` + dataMembers(event.data, event.content_type) +
    optionalText("schema_id", event.schema_id);
}

function commandMembers(command: PlainCommand): string {
  return `,"name":${quote(command.name)}` + dataMembers(command.data, command.content_type) +
    optionalNumber("expect_version", command.expect_version) +
    optionalNumber("after_version", command.after_version) +
    optionalNumber("fence", command.fence) +
    optionalText("epoch", command.epoch) + optionalText("command_id", command.command_id);
}

function signalText(signal: PlainSignal): string {
  return `{"kind":${quote(signal.kind)}` + optionalText("target", signal.target) +
    optionalText("reason", signal.reason) + optionalNumber("until_ms", signal.until_ms) + "}";
}

function quoteHeaders(headers: Record<string, string>): string {
  let text = "{";
  for (const name of Object.keys(headers)) {
    if (text !== "{") text += ",";
    text += `${quote(name)}:${quote(headers[name] ?? "")}`;
  }
  return `${text}}`;
}

function ping(op: "ping" | "pong", body: Uint8Array): string {
  const text = utf8OrUndefined(body);
  return `{"op":"${op}","data":${text === undefined ? base64(body) : quote(text)}}`;
}

/** A body that is not UTF-8 becomes `{"base64":"…"}`. */
export const encodeTextPing = (body: Uint8Array): string => ping("ping", body);
/** Echoes a PING; the body as in `encodeTextPing`. */
export const encodeTextPong = (body: Uint8Array): string => ping("pong", body);
