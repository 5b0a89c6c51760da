/**
 * Frames in the form of scenarios, with the names of `proto/arqon/v1`. A name that ends in `_json`, `_text` or
 * `_history` is the field's bytes, as JSON, a text or a page of history.
 */
import { encodePresenceLeave, encodePresenceUpdate, Opcode, readEnvelope } from "@arqon/proto";
import { type PresentMember, readRefresh, readSubscribe, readUnsubscribe } from "@arqon/proto";
import { encodeFrame, encodeHistory, fromHex, type Plain, plainMessage, toHex } from "../plain.ts";
import type { Incoming } from "./peer.ts";

const encoder = new TextEncoder();
const AS_JSON = "_json";
const AS_TEXT = "_text";
const AS_HISTORY = "_history";
/** A client's byte fields that may contain JSON. */
const BYTES = new Set(["data", "member_meta", "positions"]);

/** The defaults of a WELCOME in scripts. */
const WELCOME: Plain = {
  user_id: "ann",
  tenant_id: "acme",
  server_time_ms: 1_000_000,
  heartbeat_ms: 60_000,
  max_frame_bytes: 262_144,
  node_id: "scripted",
  protocol_version: 1,
};

function jsonOf(hex: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(fromHex(hex)));
  } catch {
    return undefined;
  }
}

/** Adds `x_json` for every byte field `x` that is JSON. */
function withJson(plain: Plain): Plain {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(plain)) {
    out[name] = typeof value === "object" && name !== "headers" ? withJson(value as Plain) : value;
    const json = BYTES.has(name) ? jsonOf(value as string) : undefined;
    if (json !== undefined) out[name + AS_JSON] = json;
  }
  return out;
}

/** The reverse: bytes for every `x_json`, `x_text` and `x_history`. */
function withoutJson(plain: Plain): Plain {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(plain)) {
    if (name.endsWith(AS_JSON)) {
      out[name.slice(0, -AS_JSON.length)] = toHex(encoder.encode(JSON.stringify(value)));
    } else if (name.endsWith(AS_TEXT)) {
      out[name.slice(0, -AS_TEXT.length)] = toHex(encoder.encode(value as string));
    } else if (name.endsWith(AS_HISTORY)) {
      const { messages, ...rest } = value as Plain;
      const page = { ...rest, messages: (messages as Plain[]).map(withoutJson) };
      out[name.slice(0, -AS_HISTORY.length)] = toHex(encodeHistory(page));
    } else if (typeof value === "object" && value !== null && name !== "headers") {
      out[name] = Array.isArray(value) ? value : withoutJson(value as Plain);
    } else {
      out[name] = value;
    }
  }
  return out;
}

/** By opcode. */
const READERS: Readonly<Record<number, [kind: string, read: (body: Uint8Array) => object]>> = {
  [Opcode.PUB]: ["pub", readEnvelope],
  [Opcode.SUB]: ["sub", readSubscribe],
  [Opcode.UNSUB]: ["unsub", readUnsubscribe],
  [Opcode.REFRESH]: ["refresh", readRefresh],
};

/** A client's frame, or the end of its connection, as plain data: its `kind` and its fields. */
export function plainClientFrame(incoming: Incoming): Plain {
  if (incoming.kind !== "binary") return { ...incoming };
  const { bytes } = incoming;
  const body = bytes.subarray(1);
  try {
    if (bytes[0] === Opcode.PING) return { kind: "ping", body: toHex(body) };
    if (bytes[0] === Opcode.PONG) return { kind: "pong", body: toHex(body) };
    const [kind, read] = READERS[bytes[0]!] ?? [];
    if (read !== undefined) return { kind, ...withJson(plainMessage(read(body))) };
  } catch {
    // An unreadable frame is reported as received, and matches no expectation.
  }
  return { kind: "undecodable", hex: toHex(bytes) };
}

/** A Shield's frame of this kind with the fields in `said`; `index` is the connection's number. */
export function serverFrame(kind: string, fields: Plain, index: number): Uint8Array {
  const message = withoutJson(fields);
  if (kind === "welcome") {
    return encodeFrame({ kind, message: { connection_id: `c${index}`, ...WELCOME, ...message } });
  }
  if (kind === "msg" || kind === "ack") return encodeFrame({ kind, message });
  if (kind === "batch") {
    const messages = (fields.messages as Plain[]).map(withoutJson);
    return encodeFrame({ kind, messages });
  }
  return encodeFrame({ kind, ...message });
}

/** A MSG with a presence event. */
export function presenceFrame(kind: "update" | "leave", fields: Plain): Uint8Array {
  const { room, users, snapshot } = fields as { room: string; users?: number; snapshot?: boolean };
  const members: PresentMember[] = (fields.members as Plain[]).map((member) => ({
    connection_id: String(member.connection_id),
    user_id: String(member.user_id ?? member.connection_id),
    meta: member.meta === undefined ? "" : JSON.stringify(member.meta),
    joined_ms: Number(member.joined_ms ?? 0),
  }));
  const change = { members, connections: users ?? members.length, users: users ?? members.length };
  const data = kind === "update"
    ? encodePresenceUpdate({ ...change, snapshot: snapshot ?? false })
    : encodePresenceLeave(change);
  const event = { type: `PRESENCE_${kind.toUpperCase()}`, data: toHex(data) };
  return encodeFrame({ kind: "msg", message: { room_id: room, event } });
}

/** The path where `found` differs from `wanted`, in which null means absent; undefined: no difference. */
export function differs(wanted: unknown, found: unknown, path = ""): string | undefined {
  if (wanted === null && found === undefined) return undefined;
  if (typeof wanted === "object" && wanted !== null && !Array.isArray(wanted)) {
    if (typeof found !== "object" || found === null) return `${path} is ${JSON.stringify(found)}`;
    for (const [name, value] of Object.entries(wanted)) {
      const below = differs(value, (found as Plain)[name], `${path}.${name}`);
      if (below !== undefined) return below;
    }
    return undefined;
  }
  if (JSON.stringify(wanted) === JSON.stringify(found)) return undefined;
  return `${path} is ${JSON.stringify(found)}; expected ${JSON.stringify(wanted)}`;
}
