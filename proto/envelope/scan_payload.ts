/**
 * Scans one level of the payload: the fields of an Event or a Command that routing, policies and schemas need, and a
 * check of a SystemSignal. Unknown fields are the sender's and only have to be well formed.
 */
import { DecodeError } from "../errors/error.ts";
import { type FieldNames, seenOnce, skipField } from "../wire/fields.ts";
import { checkUtf8, decodeName, decodeUtf8 } from "../wire/utf8.ts";
import type { Uint64, WireReader } from "../wire/wire.ts";

/** Limits of one scan, from `[limits]` of the configuration. */
export interface ScanLimits {
  /** The maximum number of headers. */
  headers: number;
  /** The maximum of bytes of header names and values together. */
  header_bytes: number;
  /** The maximum of bytes of a small text field: message id, event type, content type and similar. */
  field_bytes: number;
}

/** The small fields of an Event as text ("" if absent), its data as a span. */
export interface ScannedEvent {
  type: string;
  content_type: string;
  schema_id: string;
  /** `Event.data` in the scanned bytes; both 0 if absent. */
  data_start: number;
  data_end: number;
}

/** The small fields of a Command as text ("" if absent) or numbers (0), its data as a span. */
export interface ScannedCommand {
  name: string;
  content_type: string;
  /** `Command.data` in the scanned bytes; both 0 if absent. */
  data_start: number;
  data_end: number;
  expect_version: Uint64;
  after_version: Uint64;
  fence: Uint64;
  epoch: string;
  command_id: string;
}

/** An event's fields; the text form has members of these names, as of the two below. */
export const EVENT: FieldNames = ["Event", "type", "data", "content_type", "schema_id"];
/** A command's fields. */
export const COMMAND: FieldNames = [
  "Command",
  "name",
  "data",
  "content_type",
  "expect_version",
  "after_version",
  "fence",
  "epoch",
  "command_id",
];
/** A signal's fields. */
export const SIGNAL: FieldNames = ["SystemSignal", "kind", "target", "reason", "until_ms"];

/** Skips a length and its bytes, and returns their start; `invalid-field` above the limit. */
function passSmall(reader: WireReader, limit_bytes: number, name: string): number {
  const size = reader.length();
  if (size > limit_bytes) {
    throw new DecodeError("invalid-field", `${name} has ${size} bytes, at most ${limit_bytes}`);
  }
  const start = reader.pos;
  reader.pos = start + size;
  return start;
}

/** Text of at most `limit_bytes`, otherwise `invalid-field`. */
export function readSmallText(reader: WireReader, limit_bytes: number, name: string): string {
  const start = passSmall(reader, limit_bytes, name);
  return decodeUtf8(reader.bytes, start, reader.pos);
}

function readName(reader: WireReader, limit_bytes: number, name: string): string {
  const start = passSmall(reader, limit_bytes, name);
  return decodeName(reader.bytes, start, reader.pos);
}

/** Frequent text, such as names of rooms. */
export function readAnyName(reader: WireReader): string {
  const size = reader.length();
  const start = reader.pos;
  reader.pos = start + size;
  return decodeName(reader.bytes, start, reader.pos);
}

/** Skips text that is not needed but must be UTF-8. */
export function passText(reader: WireReader): void {
  const size = reader.length();
  const start = reader.pos;
  reader.pos = start + size;
  checkUtf8(reader.bytes, start, reader.pos);
}

/** Reads the Event between the reader's position and its end. */
export function scanEvent(reader: WireReader, limits: ScanLimits): ScannedEvent {
  const event: ScannedEvent = {
    type: "",
    content_type: "",
    schema_id: "",
    data_start: 0,
    data_end: 0,
  };
  let seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, EVENT);
    switch (tag) {
      case 0x0a:
        event.type = readName(reader, limits.field_bytes, "Event.type");
        break;
      case 0x12:
        event.data_end = reader.length() + reader.pos;
        event.data_start = reader.pos;
        reader.pos = event.data_end;
        break;
      case 0x1a:
        event.content_type = readName(reader, limits.field_bytes, "Event.content_type");
        break;
      case 0x22:
        event.schema_id = readName(reader, limits.field_bytes, "Event.schema_id");
        break;
      default:
        skipField(reader, tag, EVENT);
    }
  }
  return event;
}

/** Reads the Command between the reader's position and its end. */
export function scanCommand(reader: WireReader, limits: ScanLimits): ScannedCommand {
  const command: ScannedCommand = {
    name: "",
    content_type: "",
    data_start: 0,
    data_end: 0,
    expect_version: 0,
    after_version: 0,
    fence: 0,
    epoch: "",
    command_id: "",
  };
  let seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, COMMAND);
    switch (tag) {
      case 0x0a:
        command.name = readName(reader, limits.field_bytes, "Command.name");
        break;
      case 0x12:
        command.data_end = reader.length() + reader.pos;
        command.data_start = reader.pos;
        reader.pos = command.data_end;
        break;
      case 0x1a:
        command.content_type = readName(reader, limits.field_bytes, "Command.content_type");
        break;
      case 0x20:
        command.expect_version = reader.uint64();
        break;
      case 0x28:
        command.after_version = reader.uint64();
        break;
      case 0x30:
        command.fence = reader.uint64();
        break;
      case 0x3a:
        command.epoch = readSmallText(reader, limits.field_bytes, "Command.epoch");
        break;
      case 0x42:
        command.command_id = readSmallText(reader, limits.field_bytes, "Command.command_id");
        break;
      default:
        skipField(reader, tag, COMMAND);
    }
  }
  return command;
}

/** Checks the SystemSignal between the reader's position and its end, so that every peer can decode it. */
export function checkSignal(reader: WireReader): void {
  let seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, SIGNAL);
    switch (tag) {
      case 0x08:
        reader.int32();
        break;
      case 0x12:
      case 0x1a:
        passText(reader);
        break;
      case 0x20:
        reader.int64();
        break;
      default:
        skipField(reader, tag, SIGNAL);
    }
  }
}
