/**
 * Frames between client and Shield about the connection itself, as plain objects with the Protobuf names. Strict: a
 * repeated field is refused everywhere, an unknown field in a client's frames. The Shield's frames may get new
 * fields, so clients skip unknown ones.
 */
import type { Given } from "../envelope/envelope.ts";
import { readShape, readStrict, type Shape, shapeOf, writeShape } from "../wire/fields.ts";
import type { Uint64 } from "../wire/wire.ts";
import { WireWriter } from "../wire/wire_writer.ts";
import { Opcode } from "./opcode.ts";

/** The first frame of every connection: the client's identity, and the limits of what it may send. */
export interface Welcome {
  connection_id: string;
  user_id: string;
  tenant_id: string;
  /** Unix ms. */
  server_time_ms: number;
  heartbeat_ms: number;
  max_frame_bytes: number;
  /** Unix ms. */
  token_expires_ms: number;
  node_id: string;
  protocol_version: number;
}

/**
 * Subscribes to a room, or changes the options of a subscription. The position, `after_offset` and `epoch`, is for
 * durable rooms; 0 and "" mean "from now on".
 */
export interface Subscribe {
  room_id: string;
  request_id: Uint64;
  presence: boolean;
  no_echo: boolean;
  batch: boolean;
  member_meta: Uint8Array;
  after_offset: Uint64;
  epoch: string;
  /** With `presence`: receive joins and leaves without being a member. */
  observer: boolean;
  /** Only messages that match this CEL expression; "": all. */
  filter: string;
  /** Positions of a pattern: JSON, `{EPOCH: {ROOM: OFFSET}}`; empty: none. */
  positions: Uint8Array;
  /** The client understands deltas. */
  delta: boolean;
  /** With `delta`: the client keeps this many bytes of data for all rooms and patterns; 0: the room's bound. */
  delta_bytes: number;
  /** With `delta`: the client understands diffs in VCDIFF. */
  vcdiff: boolean;
}

/** Unsubscribes from a room; refused with `not-subscribed` without a subscription. */
export interface Unsubscribe {
  room_id: string;
  request_id: Uint64;
}

/** A new token for the same subject and tenant; any other one closes the connection with 4401. */
export interface Refresh {
  token: string;
  request_id: Uint64;
}

/** The answer to a request. `result` is JSON, if any (commands and REFRESH). */
export interface Ack {
  request_id: Uint64;
  /** 0: accepted; anything else: refused. */
  code: number;
  reason: string;
  message: string;
  result: Uint8Array;
  offset: Uint64;
  retry_after_ms: number;
}

const WELCOME: Shape = /* @__PURE__ */ shapeOf<Welcome>("Welcome", {
  connection_id: "text",
  user_id: "text",
  tenant_id: "text",
  server_time_ms: "int64",
  heartbeat_ms: "uint32",
  max_frame_bytes: "uint32",
  token_expires_ms: "int64",
  node_id: "text",
  protocol_version: "uint32",
});
/** The fields of SUB, which the text form also has. */
export const SUBSCRIBE: Shape = /* @__PURE__ */ shapeOf<Subscribe>("Subscribe", {
  room_id: "text",
  request_id: "uint64",
  presence: "bool",
  no_echo: "bool",
  batch: "bool",
  member_meta: "view",
  after_offset: "uint64",
  epoch: "text",
  observer: "bool",
  filter: "text",
  positions: "view",
  delta: "bool",
  delta_bytes: "uint32",
  vcdiff: "bool",
});
/** The fields of UNSUB. */
export const UNSUBSCRIBE: Shape = /* @__PURE__ */ shapeOf<Unsubscribe>("Unsubscribe", {
  room_id: "text",
  request_id: "uint64",
});
/** The fields of REFRESH. */
export const REFRESH: Shape = /* @__PURE__ */ shapeOf<Refresh>("Refresh", {
  token: "text",
  request_id: "uint64",
});
const ACK: Shape = /* @__PURE__ */ shapeOf<Ack>("Ack", {
  request_id: "uint64",
  code: "uint32",
  reason: "text",
  message: "text",
  result: "view",
  offset: "uint64",
  retry_after_ms: "uint32",
});

/** Throws `DecodeError`, as every reader in this file. */
export const readWelcome = (bytes: Uint8Array): Welcome => readShape(bytes, WELCOME);
/** `result` is a view into `bytes`. */
export const readAck = (bytes: Uint8Array): Ack => readShape(bytes, ACK);
/** Refuses an unknown field, as every frame of a client. The byte fields are views into `bytes`. */
export const readSubscribe = (bytes: Uint8Array): Subscribe => readStrict(bytes, SUBSCRIBE);
/** Strict as `readSubscribe`. */
export const readUnsubscribe = (bytes: Uint8Array): Unsubscribe => readStrict(bytes, UNSUBSCRIBE);
/** Strict as `readSubscribe`; the error's text never contains the token. */
export const readRefresh = (bytes: Uint8Array): Refresh => readStrict(bytes, REFRESH);

/**
 * A frame; absent members are 0, "" or no bytes. Throws TypeError for a number out of its field's range, as every
 * writer in this file.
 */
export const encodeWelcome = (welcome: Partial<Welcome>): Uint8Array<ArrayBuffer> =>
  writeShape(WELCOME, welcome, Opcode.WELCOME);
/** Only `room_id` is required; without a `request_id` there is no ACK. */
export const encodeSub = (subscribe: Given<Subscribe>): Uint8Array<ArrayBuffer> =>
  writeShape(SUBSCRIBE, subscribe, Opcode.SUB);
/** Without a `request_id` there is no ACK. */
export const encodeUnsub = (unsubscribe: Partial<Unsubscribe>): Uint8Array<ArrayBuffer> =>
  writeShape(UNSUBSCRIBE, unsubscribe, Opcode.UNSUB);
/** A refusal always closes the connection. Like UNSUB it has a text and a request id: web pages need one table less. */
export const encodeRefresh = (
  { token: room_id, request_id }: Given<Refresh>,
): Uint8Array<ArrayBuffer> => writeShape(UNSUBSCRIBE, { room_id, request_id }, Opcode.REFRESH);
/** Code 0: accepted. */
export const encodeAck = (ack: Partial<Ack>): Uint8Array<ArrayBuffer> => writeAck(ack, Opcode.ACK);

/**
 * The body alone, as in the Brain's answers over the Spine, or with `opcode` the whole frame. By hand, because every
 * publish has one.
 */
export function writeAck(ack: Partial<Ack>, opcode?: number): Uint8Array<ArrayBuffer> {
  const writer = new WireWriter();
  if (opcode !== undefined) writer.byte(opcode);
  writer.uint64(1, ack.request_id);
  writer.uint32(2, ack.code);
  writer.text(3, ack.reason);
  writer.text(4, ack.message);
  writer.bytes(5, ack.result);
  writer.uint64(6, ack.offset);
  writer.uint32(7, ack.retry_after_ms);
  return writer.finish();
}
