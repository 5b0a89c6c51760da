/**
 * Shared by the strict decoders: the check for repeated singular fields, and errors that name the field. The names of
 * a message are an array: its own name first, then each field's at its number.
 */
import { DecodeError } from "../errors/error.ts";
import { WireReader } from "./wire.ts";
import { WireWriter } from "./wire_writer.ts";
import { MASK_BITS, WIRE_BYTES, WIRE_VARINT } from "./wire_numbers.ts";

/** The message's name at 0 and each field's name at its number; a hole is an unknown field. */
export type FieldNames = readonly string[];

/** Marks the tag's field as seen; throws `repeated-field` if it already is. */
export function seenOnce(seen: number, tag: number, names: FieldNames): number {
  const field = tag >>> 3;
  if (field >= names.length || field > MASK_BITS) return seen;
  const bit = 1 << field;
  if ((seen & bit) !== 0) throw new DecodeError("repeated-field", fieldName(field, names));
  return seen | bit;
}

/** `Message.field` for the detail of an error; an unknown field has its number. */
export function fieldName(field: number, names: FieldNames): string {
  return `${names[0]}.${names[field] ?? field}`;
}

/** Whether a known field has a wrong wire type. */
export function wrongType(tag: number, names: FieldNames): DecodeError {
  const type = tag & 7;
  const shown = type === WIRE_VARINT ? "a varint" : type === 2 ? "bytes" : "a fixed number";
  return new DecodeError("malformed-frame", `${fieldName(tag >>> 3, names)} is ${shown}`);
}

/** For a tag that the caller does not handle: its type is wrong, or the field is unknown and refused. */
export function refuseField(tag: number, names: FieldNames): never {
  const field = tag >>> 3;
  if (names[field] !== undefined) throw wrongType(tag, names);
  throw new DecodeError("unknown-field", fieldName(field, names));
}

/** For a tag that the caller does not handle: its type is wrong, or the field is unknown and skipped. */
export function skipField(reader: WireReader, tag: number, names: FieldNames): void {
  if (names[tag >>> 3] !== undefined) throw wrongType(tag, names);
  reader.skip(tag);
}

/** A field by its type: by the methods of that name of reader and writer, or, if it is repeated, by a function. */
type Kind = keyof typeof EMPTY | ((reader: WireReader) => unknown);

/** The defaults of absent fields. */
const EMPTY = { text: "", view: new Uint8Array(), uint32: 0, uint64: 0, int64: 0, bool: false };

/** A message as a table of its fields; `Envelope`, on the message path, has a hand-written codec. */
export interface Shape {
  readonly names: FieldNames;
  /** At each field's number. */
  readonly kinds: readonly Kind[];
  readonly empty: Readonly<Record<string, unknown>>;
}

/** `fields` in the order of their numbers, from 1 and without a hole. */
export function shapeOf<Message>(
  name: string,
  fields: Readonly<Record<keyof Message, Kind>>,
): Shape {
  const names = Object.keys(fields);
  const kinds = Object.values<Kind>(fields);
  const empty = names.map((name, at) => [name, EMPTY[kinds[at] as keyof typeof EMPTY]]);
  return { names: [name, ...names], kinds: ["text", ...kinds], empty: Object.fromEntries(empty) };
}

/**
 * Reads all of `bytes`, or of the reader's message. `many` has an empty list for each repeated field; `passField` skips
 * unknown fields, or refuses them. Throws `DecodeError`. Byte fields are views, not copies.
 */
export function readShape<Message>(
  source: Uint8Array | WireReader,
  { names, kinds, empty }: Shape,
  many?: Partial<Message>,
  passField: typeof skipField = skipField,
): Message {
  const reader = source instanceof WireReader ? source : new WireReader(source);
  const message: Record<string, unknown> = { ...empty, ...many };
  let seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    const kind = kinds[tag >>> 3];
    const name = names[tag >>> 3]!;
    const type = tag & 7;
    if (typeof kind === "function" && type === WIRE_BYTES) {
      (message[name] as unknown[]).push(kind(reader));
      continue;
    }
    seen = seenOnce(seen, tag, names);
    const own_type = kind === "text" || kind === "view" ? WIRE_BYTES : WIRE_VARINT;
    if (typeof kind !== "string" || type !== own_type) passField(reader, tag, names);
    else message[name] = reader[kind]();
  }
  return message as Message;
}

/** A client's message: an unknown field is refused. */
export function readStrict<Message>(bytes: Uint8Array, shape: Shape): Message {
  return readShape(bytes, shape, {}, (_, tag, names) => refuseField(tag, names));
}

/** Begins a message; with an opcode it begins with that byte, and the result is a whole frame. */
export function writeShape(
  { names, kinds }: Shape,
  message: Readonly<Record<string, unknown>>,
  opcode?: number,
): Uint8Array<ArrayBuffer> {
  const writer = new WireWriter();
  if (opcode !== undefined) writer.byte(opcode);
  for (let field = 1; field < kinds.length; field++) {
    const kind = kinds[field] as keyof typeof EMPTY;
    writer[kind === "view" ? "bytes" : kind](field, message[names[field]!] as never);
  }
  return writer.finish();
}
