/**
 * Frames between client and Shield about the connection itself, as plain objects with the Protobuf names. Strict: a
 * repeated field is refused everywhere, an unknown field in a client's frames. The Shield's frames may get new
 * fields, so clients skip unknown ones.
 */
import type { Given } from "../envelope/envelope.ts";
import {
  type FieldNames,
  readShape,
  refuseField,
  seenOnce,
  type Shape,
  shapeOf,
} from "../wire/fields.ts";
import { type Uint64, WireReader } from "../wire/wire.ts";
import type { AskedDeltas } from "./delta.ts";
import { WireWriter } from "../wire/wire_writer.ts";

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
  /** Positions of a pattern: JSON, `{EPOCH: {ROOM: OFFSET}}`; empty: none. `withPositions` writes it. */
  positions: Uint8Array;
  /** The client understands deltas; `askDeltas` writes it. */
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

const EMPTY = new Uint8Array();

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
const SUBSCRIBE: FieldNames = [
  "Subscribe",
  "room_id",
  "request_id",
  "presence",
  "no_echo",
  "batch",
  "member_meta",
  "after_offset",
  "epoch",
  "observer",
  "filter",
  "positions",
  "delta",
  "delta_bytes",
  "vcdiff",
];
const UNSUBSCRIBE: FieldNames = ["Unsubscribe", "room_id", "request_id"];
const REFRESH: FieldNames = ["Refresh", "token", "request_id"];
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
export function readWelcome(bytes: Uint8Array): Welcome {
  return readShape(new WireReader(bytes), WELCOME);
}

/** `member_meta` is a view into `bytes`. Here and below each case is `field << 3 | wire type`. */
export function readSubscribe(bytes: Uint8Array): Subscribe {
  const reader = new WireReader(bytes);
  const subscribe: Subscribe = {
    room_id: "",
    request_id: 0,
    presence: false,
    no_echo: false,
    batch: false,
    member_meta: EMPTY,
    after_offset: 0,
    epoch: "",
    observer: false,
    filter: "",
    positions: EMPTY,
    delta: false,
    delta_bytes: 0,
    vcdiff: false,
  };
  let seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, SUBSCRIBE);
    if (tag === 0x0a) subscribe.room_id = reader.text();
    else if (tag === 0x10) subscribe.request_id = reader.uint64();
    else if (tag === 0x18) subscribe.presence = reader.bool();
    else if (tag === 0x20) subscribe.no_echo = reader.bool();
    else if (tag === 0x28) subscribe.batch = reader.bool();
    else if (tag === 0x32) subscribe.member_meta = reader.view();
    else if (tag === 0x38) subscribe.after_offset = reader.uint64();
    else if (tag === 0x42) subscribe.epoch = reader.text();
    else if (tag === 0x48) subscribe.observer = reader.bool();
    else if (tag === 0x52) subscribe.filter = reader.text();
    else if (tag === 0x5a) subscribe.positions = reader.view();
    else if (tag === 0x60) subscribe.delta = reader.bool();
    else if (tag === 0x68) subscribe.delta_bytes = reader.uint32();
    else if (tag === 0x70) subscribe.vcdiff = reader.bool();
    else refuseField(tag, SUBSCRIBE);
  }
  return subscribe;
}

/** Throws `DecodeError`, also for an unknown field, as in every frame of a client. */
export function readUnsubscribe(bytes: Uint8Array): Unsubscribe {
  const reader = new WireReader(bytes);
  const unsubscribe: Unsubscribe = { room_id: "", request_id: 0 };
  let seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, UNSUBSCRIBE);
    if (tag === 0x0a) unsubscribe.room_id = reader.text();
    else if (tag === 0x10) unsubscribe.request_id = reader.uint64();
    else refuseField(tag, UNSUBSCRIBE);
  }
  return unsubscribe;
}

/** Throws `DecodeError`, whose text never contains the token. */
export function readRefresh(bytes: Uint8Array): Refresh {
  const reader = new WireReader(bytes);
  const refresh: Refresh = { token: "", request_id: 0 };
  let seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, REFRESH);
    if (tag === 0x0a) refresh.token = reader.text();
    else if (tag === 0x10) refresh.request_id = reader.uint64();
    else refuseField(tag, REFRESH);
  }
  return refresh;
}

/** `result` is a view into `bytes`. */
export function readAck(bytes: Uint8Array): Ack {
  return readShape(new WireReader(bytes), ACK);
}

/** A writer; with an opcode it begins with that byte, and the result is a whole frame. */
function begin(opcode: number | undefined): WireWriter {
  const writer = new WireWriter();
  if (opcode !== undefined) writer.byte(opcode);
  return writer;
}

/** Throws TypeError for a number out of its field's range, as every writer in this file. */
export function writeWelcome(welcome: Partial<Welcome>, opcode?: number): Uint8Array<ArrayBuffer> {
  const writer = begin(opcode);
  writer.text(1, welcome.connection_id);
  writer.text(2, welcome.user_id);
  writer.text(3, welcome.tenant_id);
  writer.int64(4, welcome.server_time_ms);
  writer.uint32(5, welcome.heartbeat_ms);
  writer.uint32(6, welcome.max_frame_bytes);
  writer.int64(7, welcome.token_expires_ms);
  writer.text(8, welcome.node_id);
  writer.uint32(9, welcome.protocol_version);
  return writer.finish();
}

/**
 * The body alone, or with `opcode` the whole frame. Fields at their default take no bytes. `withPositions` adds
 * positions, `askDeltas` the fields of deltas.
 */
export function writeSubscribe(
  subscribe: Given<Omit<Subscribe, "positions" | keyof AskedDeltas>>,
  opcode?: number,
): Uint8Array<ArrayBuffer> {
  const writer = begin(opcode);
  writer.text(1, subscribe.room_id);
  writer.uint64(2, subscribe.request_id);
  writer.bool(3, subscribe.presence);
  writer.bool(4, subscribe.no_echo);
  writer.bool(5, subscribe.batch);
  writer.bytes(6, subscribe.member_meta);
  writer.uint64(7, subscribe.after_offset);
  writer.text(8, subscribe.epoch);
  writer.bool(9, subscribe.observer);
  writer.text(10, subscribe.filter);
  return writer.finish();
}

/** A SUB (body or frame) with the positions of a pattern: UTF-8 of JSON. */
export function withPositions(sub: Uint8Array, positions: Uint8Array): Uint8Array<ArrayBuffer> {
  const writer = new WireWriter();
  writer.bytes(11, positions);
  const field = writer.finish();
  const whole = new Uint8Array(sub.length + field.length);
  whole.set(sub);
  whole.set(field, sub.length);
  return whole;
}

/** The body alone, or with `opcode` the whole frame. */
export function writeUnsubscribe(
  unsubscribe: Partial<Unsubscribe>,
  opcode?: number,
): Uint8Array<ArrayBuffer> {
  const writer = begin(opcode);
  writer.text(1, unsubscribe.room_id);
  writer.uint64(2, unsubscribe.request_id);
  return writer.finish();
}

/** The body alone, or with `opcode` the whole frame. */
export function writeRefresh(refresh: Partial<Refresh>, opcode?: number): Uint8Array<ArrayBuffer> {
  // REFRESH has the same two fields under other names.
  return writeUnsubscribe({ ...refresh, room_id: refresh.token ?? "" }, opcode);
}

/** The body alone, as in the Brain's answers over the Spine, or with `opcode` the whole frame. */
export function writeAck(ack: Partial<Ack>, opcode?: number): Uint8Array<ArrayBuffer> {
  const writer = begin(opcode);
  writer.uint64(1, ack.request_id);
  writer.uint32(2, ack.code);
  writer.text(3, ack.reason);
  writer.text(4, ack.message);
  writer.bytes(5, ack.result);
  writer.uint64(6, ack.offset);
  writer.uint32(7, ack.retry_after_ms);
  return writer.finish();
}
