/**
 * Decodes a client's text frames, the JSON form of `decodeClientFrame`, for debugging and for tools such as wscat. A
 * message is encoded to Protobuf and scanned like a binary one, so both forms have the same rules. `text_encode.ts`
 * encodes the Shield's text frames.
 */
import { DecodeError } from "../errors/error.ts";
import { type EnvelopeInput, type PlainSignal, writeEnvelope } from "../envelope/envelope.ts";
import { REFRESH, SUBSCRIBE, UNSUBSCRIBE } from "../frame/control.ts";
import type { ClientOperation } from "../frame/frame.ts";
import { scanEnvelope } from "../envelope/scan.ts";
import { COMMAND, EVENT, type ScanLimits, SIGNAL } from "../envelope/scan_payload.ts";
import { isSignalKind } from "../envelope/envelope.ts";
import { TextMembers } from "./text_members.ts";
import type { Shape } from "../wire/fields.ts";
import type { Uint64 } from "../wire/wire.ts";
import { PING_BYTES } from "../wire/wire_numbers.ts";

const ENVELOPE = [
  "op",
  "id",
  "ack",
  "room",
  "trace_id",
  "tenant_id",
  "headers",
  "message_id",
  "signature",
  // The Shield sets these: a sender's values are ignored, as in the binary form.
  "sender",
  "sender_id",
  "ts",
  "timestamp",
  "offset",
];

/** Fields of control frames that text names in another way. */
const NAMES: Readonly<Record<string, string>> = { room_id: "room", request_id: "id" };
const nameOf = (field: string) => NAMES[field] ?? field;

/** The members of a control frame: the fields of the binary one, of which text lacks those that are `omitted`. */
const membersOf = ({ names: [, ...fields] }: Shape, omitted = "") =>
  new Set(["op", ...fields.filter((field) => field !== omitted).map(nameOf)]);

/** Every operation of a client, with its members. */
const OPERATIONS = {
  sub: membersOf(SUBSCRIBE, "vcdiff"),
  unsub: membersOf(UNSUBSCRIBE),
  pub: new Set([...ENVELOPE, ...EVENT.slice(1), "signal"]),
  cmd: new Set([...ENVELOPE, ...COMMAND.slice(1)]),
  refresh: membersOf(REFRESH),
  ping: new Set(["op", "data"]),
  pong: new Set(["op", "data"]),
} as const;

function isOperation(op: string): op is keyof typeof OPERATIONS {
  return Object.hasOwn(OPERATIONS, op);
}

/**
 * Reads a client's text frame. Throws only `DecodeError`; its `request_id` is set if the frame has a readable `id`, so
 * that the refusal can be an ACK.
 */
export function decodeClientText(text: string, limits: ScanLimits): ClientOperation {
  const members = TextMembers.parse(text);
  const request_id = members.uint64("id");
  try {
    return decodeOperation(members, request_id, limits);
  } catch (error) {
    if (!(error instanceof DecodeError) || request_id === 0) throw error;
    throw new DecodeError(error.reason, error.detail, request_id);
  }
}

function decodeOperation(
  members: TextMembers,
  request_id: Uint64,
  limits: ScanLimits,
): ClientOperation {
  if (!members.has("op")) throw new DecodeError("malformed-frame", 'there is no "op"');
  const op = members.string("op");
  if (!isOperation(op)) throw new DecodeError("unknown-opcode", JSON.stringify(op.slice(0, 64)));
  members.refuseUnknown(OPERATIONS[op]);
  switch (op) {
    case "pub":
      return publishOf(members, request_id, limits, eventOf(members));
    case "cmd":
      return publishOf(members, request_id, limits, commandOf(members));
    case "sub":
      return { kind: "subscribe", subscribe: controlOf(members, SUBSCRIBE) };
    case "unsub":
      return { kind: "unsubscribe", unsubscribe: controlOf(members, UNSUBSCRIBE) };
    case "refresh":
      return { kind: "refresh", refresh: controlOf(members, REFRESH) };
    case "ping":
    case "pong":
      return { kind: op, body: pingBody(members) };
    default:
      return op satisfies never;
  }
}

function publishOf(
  members: TextMembers,
  request_id: Uint64,
  limits: ScanLimits,
  payload: EnvelopeInput,
): ClientOperation {
  const envelope = { ...envelopeOf(members, request_id, limits), ...payload };
  return { kind: "publish", envelope: scanEnvelope(writeEnvelope(envelope), limits) };
}

/** The reader of a member by the type of its field. */
const READERS = {
  text: "string",
  view: "jsonOrBase64",
  uint32: "uint32",
  uint64: "uint64",
  int64: "integer",
  bool: "flag",
} as const;

function controlOf<Frame>(members: TextMembers, { names, kinds, empty }: Shape): Frame {
  const frame: Record<string, unknown> = { ...empty };
  for (const [field, kind] of kinds.entries()) {
    const name = names[field]!;
    if (field > 0 && typeof kind === "string") frame[name] = members[READERS[kind]](nameOf(name));
  }
  return frame as Frame;
}

function pingBody(members: TextMembers): Uint8Array {
  const body = members.stringOrBase64("data");
  if (body.length > PING_BYTES) {
    throw new DecodeError("malformed-frame", `${body.length} ping bytes, at most ${PING_BYTES}`);
  }
  return body;
}

function envelopeOf(members: TextMembers, request_id: Uint64, limits: ScanLimits): EnvelopeInput {
  const signature = members.base64("signature");
  return {
    trace_id: members.string("trace_id"),
    tenant_id: members.string("tenant_id"),
    room_id: members.string("room"),
    headers: members.headers("headers", limits.headers),
    ack_requested: members.flag("ack"),
    request_id,
    message_id: members.string("message_id"),
    ...(signature === undefined ? {} : { signature }),
  };
}

/** Data without a content type is JSON, and is marked as such. */
function dataOf(members: TextMembers): { data: Uint8Array; content_type: string } {
  const content_type = members.string("content_type");
  const data = members.data("data", content_type);
  const untyped = content_type === "" && members.has("data");
  return { data, content_type: untyped ? "application/json" : content_type };
}

function eventOf(members: TextMembers): EnvelopeInput {
  const signal = members.object("signal");
  if (signal === undefined) {
    return {
      event: {
        type: members.string("type"),
        schema_id: members.string("schema_id"),
        ...dataOf(members),
      },
    };
  }
  const other = EVENT.slice(1).find((name) => members.has(name));
  if (other !== undefined) {
    throw new DecodeError("payload-count", `this one has "signal" and "${other}"`);
  }
  return { signal: signalOf(signal) };
}

function signalOf(signal: TextMembers): PlainSignal {
  signal.refuseUnknown(new Set(SIGNAL.slice(1)));
  const kind = signal.string("kind");
  if (!isSignalKind(kind)) {
    throw new DecodeError("malformed-frame", `no signal kind ${JSON.stringify(kind.slice(0, 64))}`);
  }
  return {
    kind,
    target: signal.string("target"),
    reason: signal.string("reason"),
    until_ms: signal.integer("until_ms"),
  };
}

function commandOf(members: TextMembers): EnvelopeInput {
  return {
    command: {
      name: members.string("name"),
      ...dataOf(members),
      expect_version: members.uint64("expect_version"),
      after_version: members.uint64("after_version"),
      fence: members.uint64("fence"),
      epoch: members.string("epoch"),
      command_id: members.string("command_id"),
    },
  };
}
