/**
 * The envelope as a plain object, for SDKs, tools and the Brain. Lenient like Protobuf: it skips unknown
 * fields, and the last one of a repeated field counts. Not for the message path of the Shield, which
 * never builds this object for a binary client.
 */
import { type Uint64, WireReader } from "../wire/wire.ts";
import { TAG_OWNED, VARINT_BYTES_MAX } from "../wire/wire_numbers.ts";
import { WireWriter } from "../wire/wire_writer.ts";

/** An event. `data` is a view into the bytes it was read from. */
export interface PlainEvent {
  type: string;
  data: Uint8Array;
  content_type: string;
  schema_id: string;
}

/** A command for the room's Brain. Versions and fence are 0, and epoch "", if not set. */
export interface PlainCommand {
  name: string;
  data: Uint8Array;
  content_type: string;
  expect_version: Uint64;
  after_version: Uint64;
  fence: Uint64;
  epoch: string;
  command_id: string;
}

/** The kinds of `SystemSignal` at their Protobuf numbers: the names of the .proto file without `KIND_`. */
const KINDS = ["UNSPECIFIED", "DISCONNECT", "BAN", "UNBAN", "REVOKE", "DRAIN", "GAP"] as const;

/** The names in the text form and in `PlainSignal`. */
export type SignalKind = typeof KINDS[number];

/** Whether a name from a client is a kind. */
export const isSignalKind = (name: string): name is SignalKind =>
  (KINDS as readonly string[]).includes(name);

/**
 * A message of the system. `until_ms` is Unix ms, 0 without an end; `target` is the subject of the kind,
 * such as the room of a GAP.
 */
export interface PlainSignal {
  kind: SignalKind;
  target: string;
  reason: string;
  until_ms: number;
}

/** At most one of `event`, `command` and `signal` is set. */
export interface PlainEnvelope {
  trace_id: string;
  tenant_id: string;
  room_id: string;
  timestamp_ms: number;
  /** Without a prototype, so that any header name is safe. */
  headers: Record<string, string>;
  ack_requested: boolean;
  request_id: Uint64;
  sender_id: string;
  offset: Uint64;
  signature?: Uint8Array;
  message_id: string;
  event?: PlainEvent;
  command?: PlainCommand;
  signal?: PlainSignal;
}

type Payloads = Required<Pick<PlainEnvelope, "event" | "command" | "signal">>;

/** The payload of an envelope by its kind, so that a switch over it is complete. */
export type PlainPayload = {
  [Kind in keyof Payloads]: { readonly kind: Kind } & Readonly<Pick<Payloads, Kind>>;
}[keyof Payloads];

/** The payload; undefined if there is none. */
export function payloadOf({ event, command, signal }: PlainEnvelope): PlainPayload | undefined {
  if (event !== undefined) return { kind: "event", event };
  if (command !== undefined) return { kind: "command", command };
  return signal && { kind: "signal", signal };
}

/** The input of `writeEnvelope`: every field is optional, also inside the payload. */
export type EnvelopeInput =
  & Given<Omit<PlainEnvelope, "event" | "command" | "signal">>
  & {
    event?: Given<PlainEvent> | undefined;
    command?: Given<PlainCommand> | undefined;
    signal?: Given<PlainSignal> | undefined;
  };

/** The input of a writer: every field is optional. */
export type Given<Message> = { [Field in keyof Message]?: Message[Field] | undefined };

const EMPTY = new Uint8Array();

/** The reason of a GAP that replaces an unreadable message. */
export const UNREADABLE = "unreadable";

/** A GAP: messages of a room are missing. */
export function gapSignal(target: string, reason: string): PlainSignal {
  return { kind: "GAP", target, reason, until_ms: 0 };
}

/**
 * As `readEnvelope`, for a routed envelope. The sender's part may be unreadable, if an older Shield stored it
 * without a strict check: then a GAP with reason `unreadable` replaces the payload, and the Shield's fields,
 * such as room and offset, stay. Throws `DecodeError` without a room.
 */
export function readRouted(bytes: Uint8Array): PlainEnvelope {
  try {
    return readEnvelope(bytes);
  } catch (error) {
    const envelope = readFields(bytes, true);
    if (envelope.room_id === "") throw error;
    envelope.signal = gapSignal(envelope.room_id, UNREADABLE);
    return envelope;
  }
}

/** Throws `DecodeError`. Byte fields are views into `bytes`, not copies. */
export function readEnvelope(bytes: Uint8Array): PlainEnvelope {
  return readFields(bytes, false);
}

/** `torn`: reads only fields 1 to 9, which the Shield writes. */
function readFields(bytes: Uint8Array, torn: boolean): PlainEnvelope {
  const reader = new WireReader(bytes);
  if (torn) reader.prefix_bytes_max = VARINT_BYTES_MAX;
  const envelope: PlainEnvelope = {
    trace_id: "",
    tenant_id: "",
    room_id: "",
    timestamp_ms: 0,
    headers: Object.create(null),
    ack_requested: false,
    request_id: 0,
    sender_id: "",
    offset: 0,
    message_id: "",
  };
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (torn && tag >= TAG_OWNED) reader.skip(tag);
    else if (tag === 0xa2 || tag === 0xaa || tag === 0xb2) {
      reader.embedded(readPayload, envelope, tag);
    } else readField(reader, envelope, tag);
  }
  return envelope;
}

/** Each case is `field << 3 | wire type`. */
function readField(reader: WireReader, envelope: PlainEnvelope, tag: number): void {
  if (tag === 0x0a) envelope.trace_id = reader.text();
  else if (tag === 0x12) envelope.tenant_id = reader.text();
  else if (tag === 0x1a) envelope.room_id = reader.text();
  else if (tag === 0x20) envelope.timestamp_ms = reader.int64();
  else if (tag === 0x2a) reader.embedded(readHeader, envelope.headers);
  else if (tag === 0x30) envelope.ack_requested = reader.bool();
  else if (tag === 0x38) envelope.request_id = reader.uint64();
  else if (tag === 0x42) envelope.sender_id = reader.text();
  else if (tag === 0x48) envelope.offset = reader.uint64();
  else if (tag === 0x52) readSignature(reader, envelope);
  else if (tag === 0x5a) envelope.message_id = reader.text();
  else reader.skip(tag);
}

/** An empty string is absent. */
function readSignature(reader: WireReader, envelope: PlainEnvelope): void {
  delete envelope.signature;
  const signature = reader.view();
  if (signature.length > 0) envelope.signature = signature;
}

function readHeader(reader: WireReader, headers: Record<string, string>): void {
  let key = "", value = "";
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0x0a) key = reader.text();
    else if (tag === 0x12) value = reader.text();
    else reader.skip(tag);
  }
  headers[key] = value;
}

/** As in Protobuf, a later payload of another kind replaces the first; one of the same kind is merged. */
function readPayload(reader: WireReader, envelope: PlainEnvelope, tag: number): void {
  const { command, event, signal } = envelope;
  // To delete an absent member takes as long as to read a field.
  if (command ?? event ?? signal) {
    delete envelope.command;
    delete envelope.event;
    delete envelope.signal;
  }
  if (tag === 0xa2) envelope.command = readCommand(reader, command);
  else if (tag === 0xaa) envelope.event = readEvent(reader, event);
  else envelope.signal = readSignal(reader, signal);
}

function readEvent(reader: WireReader, before: PlainEvent | undefined): PlainEvent {
  const event = before ?? { type: "", data: EMPTY, content_type: "", schema_id: "" };
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0x0a) event.type = reader.text();
    else if (tag === 0x12) event.data = reader.view();
    else if (tag === 0x1a) event.content_type = reader.text();
    else if (tag === 0x22) event.schema_id = reader.text();
    else reader.skip(tag);
  }
  return event;
}

function readCommand(reader: WireReader, before: PlainCommand | undefined): PlainCommand {
  const command = before ?? {
    name: "",
    data: EMPTY,
    content_type: "",
    expect_version: 0,
    after_version: 0,
    fence: 0,
    epoch: "",
    command_id: "",
  };
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0x0a) command.name = reader.text();
    else if (tag === 0x12) command.data = reader.view();
    else if (tag === 0x1a) command.content_type = reader.text();
    else if (tag === 0x20) command.expect_version = reader.uint64();
    else if (tag === 0x28) command.after_version = reader.uint64();
    else if (tag === 0x30) command.fence = reader.uint64();
    else if (tag === 0x3a) command.epoch = reader.text();
    else if (tag === 0x42) command.command_id = reader.text();
    else reader.skip(tag);
  }
  return command;
}

function readSignal(reader: WireReader, before: PlainSignal | undefined): PlainSignal {
  const signal = before ?? { kind: "UNSPECIFIED", target: "", reason: "", until_ms: 0 };
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    // A newer peer may have other kinds.
    if (tag === 0x08) signal.kind = KINDS[reader.int32()] ?? "UNSPECIFIED";
    else if (tag === 0x12) signal.target = reader.text();
    else if (tag === 0x1a) signal.reason = reader.text();
    else if (tag === 0x20) signal.until_ms = reader.int64();
    else reader.skip(tag);
  }
  return signal;
}

/**
 * The Protobuf bytes, in field order; with `opcode` a whole frame. At most one payload may be set. Throws
 * TypeError for a number out of its field's range.
 */
export function writeEnvelope(envelope: EnvelopeInput, opcode?: number): Uint8Array<ArrayBuffer> {
  const { command, event, signal } = envelope;
  const payloads = [command, event, signal].filter((payload) => payload !== undefined);
  if (payloads.length > 1) throw new TypeError("an envelope has at most one payload");
  const writer = writeFields(envelope, opcode);
  if (signal !== undefined) writeSignal(writer, signal);
  return writer.finish();
}

/** As `writeEnvelope` without signals and with one payload, so that a web page need not load the rest. */
export function writeRequest(
  request: Omit<EnvelopeInput, "signal">,
  opcode?: number,
): Uint8Array<ArrayBuffer> {
  return writeFields(request, opcode).finish();
}

function writeFields(envelope: EnvelopeInput, opcode: number | undefined): WireWriter {
  const { command, event } = envelope;
  const writer = new WireWriter();
  if (opcode !== undefined) writer.byte(opcode);
  writer.text(1, envelope.trace_id);
  writer.text(2, envelope.tenant_id);
  writer.text(3, envelope.room_id);
  writer.int64(4, envelope.timestamp_ms);
  for (const name of Object.keys(envelope.headers ?? {})) {
    const entry = writer.open(5);
    writer.text(1, name);
    writer.text(2, envelope.headers?.[name]);
    writer.close(entry);
  }
  writer.bool(6, envelope.ack_requested);
  writer.uint64(7, envelope.request_id);
  writer.text(8, envelope.sender_id);
  writer.uint64(9, envelope.offset);
  writer.bytes(10, envelope.signature);
  writer.text(11, envelope.message_id);
  if (command !== undefined) writeCommand(writer, command);
  if (event !== undefined) writeEvent(writer, event);
  return writer;
}

function writeEvent(writer: WireWriter, event: Given<PlainEvent>): void {
  const mark = writer.open(21);
  writer.text(1, event.type);
  writer.bytes(2, event.data);
  writer.text(3, event.content_type);
  writer.text(4, event.schema_id);
  writer.close(mark);
}

function writeCommand(writer: WireWriter, command: Given<PlainCommand>): void {
  const mark = writer.open(20);
  writer.text(1, command.name);
  writer.bytes(2, command.data);
  writer.text(3, command.content_type);
  writer.uint64(4, command.expect_version);
  writer.uint64(5, command.after_version);
  writer.uint64(6, command.fence);
  writer.text(7, command.epoch);
  writer.text(8, command.command_id);
  writer.close(mark);
}

function writeSignal(writer: WireWriter, signal: Given<PlainSignal>): void {
  const mark = writer.open(22);
  writer.uint32(1, KINDS.indexOf(signal.kind ?? "UNSPECIFIED"));
  writer.text(2, signal.target);
  writer.text(3, signal.reason);
  writer.int64(4, signal.until_ms);
  writer.close(mark);
}
