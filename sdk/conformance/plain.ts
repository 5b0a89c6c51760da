/** Frames in the form of the vectors (bytes in hex, without defaults), from those of `@arqon/proto` and to bytes. */
import { encodeAck, encodeBatch, encodeErr, encodeMsg, encodePing, encodePong } from "@arqon/proto";
import { encodePub, encodeRefresh, encodeSub, encodeUnsub, encodeWelcome } from "@arqon/proto";
import { findData, type History, withData, writeEnvelope, writeHistory } from "@arqon/proto";
import type { Delta, EnvelopeInput, ServerFrame } from "@arqon/proto";

/** A JSON object of a vectors file. */
export type Plain = { readonly [name: string]: unknown };

const BYTES = new Set(["data", "signature", "result", "member_meta", "positions", "body"]);
const LONG = new Set(["request_id", "offset", "after_offset", "expect_version", "after_version"]);
/** Members whose names differ between `PlainEnvelope` and the .proto file. */
const NAMES = [["timestamp_ms", "timestamp"], ["command", "cmd"]] as const;

/** Lowercase hex. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes of an even number of hex digits. Throws TypeError for anything else. */
export function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  if (!/^(?:[0-9a-f]{2})*$/.test(hex)) throw new TypeError(`not hex: ${hex}`);
  return Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
}

function isDefault(name: string, value: unknown): boolean {
  if (value === undefined || value === 0 || value === "" || value === false) return true;
  if (value instanceof Uint8Array) return value.length === 0;
  if (name === "kind") return value === "UNSPECIFIED";
  return name === "headers" && Object.keys(value as object).length === 0;
}

/** One message in the form of the vectors. */
export function plainMessage(message: object): Plain {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(message)) {
    if (isDefault(name, value)) continue;
    const shown = NAMES.find(([ours]) => ours === name)?.[1] ?? name;
    if (value instanceof Uint8Array) out[shown] = toHex(value);
    else if (typeof value === "bigint") out[shown] = String(value);
    else if (name === "headers") out[shown] = { ...value };
    else out[shown] = typeof value === "object" ? plainMessage(value) : value;
  }
  return out;
}

/** Converts the vectors' form to the input of `@arqon/proto`'s encoders. */
function messageOf<Message = EnvelopeInput>(plain: Plain): Message {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(plain)) {
    const ours = NAMES.find(([, shown]) => shown === name)?.[0] ?? name;
    if (BYTES.has(name)) out[ours] = fromHex(value as string);
    else if (LONG.has(name) && typeof value === "string") out[ours] = BigInt(value);
    else if (name === "headers" || typeof value !== "object") out[ours] = value;
    else out[ours] = messageOf<unknown>(value as Plain);
  }
  return out as Message;
}

/** A server frame in the form of `frames.json`. */
export function plainFrame(frame: ServerFrame): Plain {
  switch (frame.kind) {
    case "welcome":
      return { kind: "welcome", message: plainMessage(frame.welcome) };
    case "msg":
      return { kind: "msg", message: plainMessage(frame.envelope) };
    case "batch":
      return { kind: "batch", messages: frame.envelopes.map(plainMessage) };
    case "ack":
      return { kind: "ack", message: plainMessage(frame.ack) };
    case "err": {
      const { kind, ...refusal } = frame;
      return { kind, ...plainMessage(refusal) };
    }
    case "ping":
    case "pong":
      return { kind: frame.kind, body: toHex(frame.body) };
  }
}

/** One message; with a `delta` its data is whole or a diff accordingly. */
function envelope(plain: unknown): Uint8Array<ArrayBuffer> {
  const { delta, ...rest } = plain as Plain & { readonly delta?: Partial<Delta> };
  const written = writeEnvelope(messageOf(rest));
  const span = delta === undefined ? undefined : findData(written);
  if (span === undefined) return written;
  const data = written.slice(span.start, span.end);
  const header = { slot: 0, number: 0, base: 0, ...delta };
  return withData(encodeMsg(written), span, data, header).slice(1);
}

/** A page of history, with messages as in a MSG. */
export function encodeHistory({ messages, ...rest }: Plain): Uint8Array {
  const page: History = { messages: [], offset: 0, epoch: "", more: false, ...rest };
  return writeHistory({ ...page, messages: (messages as Plain[]).map(envelope) });
}

/** Writers of frames with one message of named fields. */
const WRITERS: Readonly<Record<string, (message: never) => Uint8Array>> = {
  welcome: encodeWelcome,
  ack: encodeAck,
  sub: encodeSub,
  unsub: encodeUnsub,
  refresh: encodeRefresh,
};

/** The frame of a client's operation, or a Shield's frame in the form of `plainFrame`. */
export function encodeFrame(frame: Plain): Uint8Array {
  const { kind, message, body } = frame;
  switch (kind) {
    case "pub":
      return encodePub(envelope(message));
    case "msg":
      return encodeMsg(envelope(message));
    case "batch":
      return encodeBatch((frame.messages as Plain[]).map(envelope));
    case "err":
      return encodeErr(frame);
    case "ping":
      return encodePing(fromHex(body as string));
    case "pong":
      return encodePong(fromHex(body as string));
  }
  const write = WRITERS[kind as string];
  if (write === undefined) throw new TypeError(`no frame: ${kind}`);
  return write(messageOf<never>(message as Plain));
}
