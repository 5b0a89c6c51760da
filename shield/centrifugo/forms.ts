/**
 * The two encodings of Centrifugo's protocol: lines of JSON, which keep the text of data unchanged, and Protobuf
 * messages with a length prefix. Pure: both use the tables of `messages.ts`. Decoding throws `DecodeError`.
 */
import {
  dataText,
  DecodeError,
  encodeUtf8,
  isJson,
  jsonItems,
  jsonMembers,
  jsonText,
  strictText,
  WireReader,
  WireWriter,
} from "@arqon/proto";
import { COMMAND, EMULATION, EMULATION_BYTES, JSON_TYPE, jsonData, REPLY } from "./messages.ts";
import type { Command, Data, Emulation, Kind, MapOf, Reply, Table } from "./messages.ts";

/** An encoding of the protocol. */
export interface Form {
  /** The commands of a frame, in their order. */
  readonly decode: (frame: string | Uint8Array) => Command[];
  readonly encode: (reply: Reply) => string | Uint8Array<ArrayBuffer>;
  readonly deltaBytes: (data: Data) => Uint8Array;
  /** A delta, or full data for a client with deltas; undefined if this encoding cannot represent the bytes. */
  readonly deltaData: (bytes: Uint8Array) => Data | undefined;
  /** Decodes a command of a client with a stream. */
  readonly emulation: (body: Uint8Array) => Emulation;
}

type Fields = Record<string, unknown>;

/** The most commands in a frame, the same as the default limit of pending ones. */
const COMMANDS_MAX = 1_024;
const MEMBERS_MAX = 64;
/** The most entries of a map, the same as the default limit of a client's channels. */
const ENTRIES_MAX = 1_024;
const wrong = (detail: string) => new DecodeError("malformed-frame", detail);
const tooMany = () => wrong(`more than ${MEMBERS_MAX} members`);
const tooManyEntries = () => wrong(`more than ${ENTRIES_MAX} channels`);

/** Data from a publisher's bytes. Valid JSON has the type of JSON, so that JSON clients receive it as JSON. */
export function dataOf(bytes: Uint8Array): Data {
  const content_type = jsonText(bytes) === undefined ? "application/octet-stream" : JSON_TYPE;
  return { bytes, content_type };
}

/** Data in the JSON encoding. */
const textOf = ({ bytes, content_type }: Data) => dataText(bytes, content_type)?.json ?? "null";

function readJson(fields: Table, text: string, start: number): Fields {
  const message: Fields = {};
  for (const { key, start: from, end } of jsonMembers(text, start, MEMBERS_MAX, tooMany).values()) {
    const kind = Object.hasOwn(fields, key) ? fields[key]?.[1] : undefined;
    if (kind === undefined || kind !== "data" && text.startsWith("null", from)) continue;
    message[key] = readJsonValue(kind, text, from, end, key);
  }
  return message;
}

function readJsonValue(
  kind: Kind,
  text: string,
  start: number,
  end: number,
  name: string,
): unknown {
  if (kind === "data") return jsonData(text.slice(start, end));
  if (typeof kind === "string") {
    const value: unknown = JSON.parse(text.slice(start, end));
    const type: string = typeof value;
    const is_whole = kind !== "number" || Number.isSafeInteger(value);
    if (type === (kind === "bool" ? "boolean" : kind) && is_whole) return value;
    throw wrong(`${name}: expected a ${kind}`);
  }
  if ("list" in kind) {
    if (text[start] !== "[") throw wrong(`${name}: expected a list`);
    const of = kind.list as Kind;
    return jsonItems(text, start, MEMBERS_MAX, tooMany).map((item) =>
      readJsonValue(of, text, item.start, item.end, name)
    );
  }
  if (text[start] !== "{") throw wrong(`${name}: expected an object`);
  if (!isMap(kind)) return readJson(kind as Table, text, start);
  const members = jsonMembers(text, start, ENTRIES_MAX, tooManyEntries).values();
  return Object.fromEntries([...members].map((member) => {
    const { key, start: from, end: to } = member;
    return [key, readJsonValue(kind.map, text, from, to, name)];
  }));
}

function readLine(line: string, fields: Table): Fields {
  if (!isJson(line)) throw wrong("a line that is no JSON");
  if (!line.trimStart().startsWith("{")) throw wrong("a line that is no JSON object");
  return readJson(fields, line, 0);
}

/** A value as JSON, without undefined members. */
export function jsonOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(jsonOf).join()}]`;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${
    members.map(([name, member]) => `${JSON.stringify(name)}:${memberOf(name, member)}`)
  }}`;
}

/** The fields with data. Publishers choose the names of tags and channels, so the shape of a value is not enough. */
const WITH_DATA: readonly string[] = ["data", "conn_info", "chan_info"];

function memberOf(name: string, value: unknown): string {
  // One line is one reply, and a publisher's JSON may have line breaks between its tokens.
  return WITH_DATA.includes(name) && isData(value)
    ? textOf(value).replace(/[\r\n]+/g, " ")
    : jsonOf(value);
}

const isMap = (kind: Kind): kind is MapOf => typeof kind === "object" && "map" in kind;

function isData(value: unknown): value is Data {
  return typeof value === "object" && value !== null && "bytes" in value && "content_type" in value;
}

/** The JSON encoding, with one message a line. */
export const JSON_FORM: Form = {
  decode(frame) {
    if (typeof frame !== "string") throw wrong("bytes, where JSON is spoken");
    const lines = frame.split("\n", COMMANDS_MAX + 1).filter((line) => line.trim() !== "");
    if (lines.length > COMMANDS_MAX) throw wrong(`more than ${COMMANDS_MAX} commands`);
    return lines.map((line) => readLine(line, COMMAND));
  },
  encode: jsonOf,
  deltaBytes: (data) => encodeUtf8(textOf(data)),
  deltaData(bytes) {
    try {
      return jsonData(JSON.stringify(strictText(bytes)));
    } catch {
      return undefined;
    }
  },
  emulation: (body) => readLine(new TextDecoder().decode(body), EMULATION),
};

const BY_NUMBER = new Map<Table, Map<number, readonly [name: string, kind: Kind]>>();

const numbered = (fields: Table) =>
  BY_NUMBER.getOrInsertComputed(
    fields,
    () => new Map(Object.entries(fields).map(([name, [no, kind]]) => [no, [name, kind]])),
  );

function readWire(reader: WireReader, fields: Table): Fields {
  const message: Fields = {};
  let entries = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    const [name, kind] = numbered(fields).get(tag >>> 3) ?? [];
    if (name === undefined || kind === undefined) reader.skip(tag);
    else if ((tag & 7) !== (kind === "number" || kind === "bool" ? 0 : 2)) {
      throw wrong(`${name}: wire type ${tag & 7}`);
    } else if (typeof kind === "object" && "list" in kind) {
      const list = (message[name] ??= []) as unknown[];
      if (list.push(readWireValue(reader, kind.list as Kind)) > MEMBERS_MAX) throw tooMany();
    } else if (isMap(kind)) {
      // A channel may have the name of an inherited property.
      const map = (message[name] ??= Object.create(null)) as Fields;
      const { key = "", value = {} } = reader.embedded(readWire, kind.entry);
      map[key as string] = value;
      if (++entries > ENTRIES_MAX) throw tooManyEntries();
    } else message[name] = readWireValue(reader, kind);
  }
  if (reader.pos > reader.end) throw wrong("a message that is longer than it says");
  return message;
}

function readWireValue(reader: WireReader, kind: Kind): unknown {
  if (kind === "number") return reader.int64();
  if (kind === "bool") return reader.bool();
  if (kind === "string") return reader.text();
  if (kind === "data") return dataOf(reader.view());
  if (kind === "bytes") return reader.view().slice();
  return reader.embedded(readWire, kind as Table);
}

function writeWire(writer: WireWriter, fields: Table, message: Fields): void {
  for (const name in fields) {
    const [no, kind] = fields[name]!;
    const value = message[name];
    if (value !== undefined) writeField(writer, no, kind, value);
  }
}

function writeField(writer: WireWriter, no: number, kind: Kind, value: unknown): void {
  if (kind === "number") return writer.int64(no, value as number);
  if (kind === "bool") return writer.bool(no, value as boolean);
  if (kind === "string") return writer.text(no, value as string);
  if (kind === "data") return writer.bytes(no, (value as Data).bytes);
  if (kind === "bytes") return writer.bytes(no, value as Uint8Array);
  if ("list" in kind) {
    for (const one of value as unknown[]) writeField(writer, no, kind.list as Kind, one);
    return;
  }
  if (isMap(kind)) {
    for (const [key, member] of Object.entries(value as Fields)) {
      writeField(writer, no, kind.entry, { key, value: member });
    }
    return;
  }
  const mark = writer.open(no);
  writeWire(writer, kind as Table, value as Fields);
  writer.close(mark);
}

/** The Protobuf encoding, with a length prefix before each message. */
export const PROTOBUF_FORM: Form = {
  decode(frame) {
    if (typeof frame === "string") throw wrong("text, where Protobuf is spoken");
    const reader = new WireReader(frame);
    const commands: Command[] = [];
    while (reader.pos < reader.end) {
      if (commands.length === COMMANDS_MAX) throw wrong(`more than ${COMMANDS_MAX} commands`);
      commands.push(reader.embedded(readWire, COMMAND));
    }
    return commands;
  },
  encode(reply) {
    const writer = new WireWriter();
    const mark = writer.open(1);
    writeWire(writer, REPLY, reply);
    writer.close(mark);
    // Without the field's tag byte the message begins with its length.
    return writer.finish().subarray(1);
  },
  // A view would keep the whole frame in memory.
  deltaBytes: ({ bytes }) => bytes.slice(),
  deltaData: (bytes) => ({ bytes, content_type: "" }),
  emulation: (body) => readWire(new WireReader(body), EMULATION_BYTES),
};
