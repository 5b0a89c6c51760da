/** Converts frames between the vectors (bytes in hex, without defaults) and `@arqon/proto`. */
import type { EnvelopeInput, ServerFrame } from "@arqon/proto";

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
export function messageOf<Message = EnvelopeInput>(plain: Plain): Message {
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
