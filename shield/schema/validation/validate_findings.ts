/** The findings of one validation: the first violations with their text, the others as a count. */
import { type UnknownFields, VALID, type Validation, type Violation } from "./validate_types.ts";
import { ScalarType } from "@bufbuild/protobuf";
import {
  WIRE_BYTES,
  WIRE_END_GROUP,
  WIRE_FIXED32,
  WIRE_FIXED64,
  WIRE_VARINT,
} from "./validate_table.ts";
import type { FieldEntry } from "./validate_table.ts";

const KEY_CHARS = 64;
const PATH_CHARS = 1_024;

/** A cursor that never throws: after the end it reads zeros. */
interface Cursor {
  readonly bytes: Uint8Array;
  pos: number;
}

/** Reads a varint, exact up to 2^53, which is enough for tags and for valid lengths. */
function varint(cursor: Cursor): number {
  const { bytes } = cursor;
  let value = 0;
  for (let factor = 1, count = 0; count < 10; count++, factor *= 128) {
    const byte = bytes[cursor.pos++] ?? 0;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) break;
  }
  return value;
}

/** Reads a varint of 64 bits. */
function wideVarint(cursor: Cursor): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = cursor.bytes[cursor.pos++] ?? 0;
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return BigInt.asUintN(64, value);
}

function skipGroup(cursor: Cursor): void {
  let open = 1;
  while (open > 0 && cursor.pos < cursor.bytes.length) {
    const wire = varint(cursor) & 7;
    if (wire === 3) open++;
    else if (wire === WIRE_END_GROUP) open--;
    else skipValue(cursor, wire);
  }
}

function skipValue(cursor: Cursor, wire: number): void {
  if (wire === WIRE_VARINT) varint(cursor);
  else if (wire === WIRE_FIXED64) cursor.pos += 8;
  else if (wire === WIRE_FIXED32) cursor.pos += 4;
  else if (wire === WIRE_BYTES) {
    const size = varint(cursor);
    cursor.pos += size;
  } else skipGroup(cursor);
}

function packedElements(cursor: Cursor, end: number, wire: number): number {
  let count = 0;
  while (cursor.pos < end) {
    skipValue(cursor, wire);
    count++;
  }
  return count;
}

/** The number of elements of a field in the records of `bytes[from..to)`. */
function countElements(bytes: Uint8Array, from: number, to: number, field: FieldEntry): number {
  const cursor = { bytes, pos: from };
  let count = 0;
  while (cursor.pos < to) {
    const tag = varint(cursor);
    const wire = tag & 7;
    if (tag >>> 3 === field.number && wire === WIRE_BYTES && field.packable) {
      const end = varint(cursor) + cursor.pos;
      count += packedElements(cursor, end, field.wire);
      continue;
    }
    if (tag >>> 3 === field.number) count++;
    skipValue(cursor, wire);
  }
  return count;
}

/** A map key in a path: in quotes, and not longer than a line. */
export function quoteKey(key: string): string {
  return JSON.stringify(key.length > KEY_CHARS ? `${key.slice(0, KEY_CHARS)}…` : key);
}

function keyText(cursor: Cursor, type: ScalarType): string {
  if (type === ScalarType.STRING) {
    const size = varint(cursor);
    const bytes = cursor.bytes.subarray(cursor.pos, cursor.pos + size);
    return quoteKey(new TextDecoder().decode(bytes));
  }
  const view = new DataView(cursor.bytes.buffer, cursor.bytes.byteOffset, cursor.bytes.length);
  switch (type) {
    case ScalarType.BOOL:
      return wideVarint(cursor) === 0n ? "false" : "true";
    case ScalarType.FIXED32:
      return String(view.getUint32(cursor.pos, true));
    case ScalarType.SFIXED32:
      return String(view.getInt32(cursor.pos, true));
    case ScalarType.FIXED64:
      return String(view.getBigUint64(cursor.pos, true));
    case ScalarType.SFIXED64:
      return String(view.getBigInt64(cursor.pos, true));
    case ScalarType.SINT32:
    case ScalarType.SINT64: {
      const value = wideVarint(cursor);
      return String((value & 1n) === 0n ? value >> 1n : -(value >> 1n) - 1n);
    }
    case ScalarType.INT32:
    case ScalarType.INT64:
      return String(BigInt.asIntN(64, wideVarint(cursor)));
    default:
      return String(wideVarint(cursor));
  }
}

/** The key of the map entry whose record begins at `at`; `undefined` if it cannot be read. */
function mapKey(bytes: Uint8Array, at: number, type: ScalarType): string | undefined {
  const cursor = { bytes, pos: at };
  varint(cursor);
  const end = varint(cursor) + cursor.pos;
  if (end > bytes.length) return undefined;
  try {
    while (cursor.pos < end) {
      const tag = varint(cursor);
      if (tag >>> 3 === 1) return keyText(cursor, type);
      skipValue(cursor, tag & 7);
    }
    return undefined;
  } catch (error) {
    // A key of fixed width was cut off.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Joins `name` to `path`. An extension, in brackets, gets no dot. */
export function joinPath(path: string, name: string): string {
  return path === "" || name.startsWith("[") ? path + name : `${path}.${name}`;
}

/** The levels of a walk: the field, where its record begins, and where its message begins. */
export interface Levels {
  readonly fields: (FieldEntry | undefined)[];
  readonly records: number[];
  readonly starts: number[];
  /** The bytes that paths may still pass again to count elements; an index beyond that is unknown. */
  countable_bytes: number;
}

/** Enough for all paths of a small message, and for the first ones of a large one. */
export const countableBytes = (size_bytes: number): number => Math.max(65_536, 2 * size_bytes);

/** The position of a packed element: the start of all elements, and of this one. */
export interface PackedPlace {
  readonly start: number;
  readonly at: number;
}

/** The path to the field at `level`; with `packed`, to one of its elements. */
export function pathTo(
  bytes: Uint8Array,
  levels: Levels,
  level: number,
  packed?: PackedPlace,
): string {
  const { fields } = levels;
  let path = "";
  for (let at = 0; at <= level; at++) {
    const field = fields[at];
    // Levels below the last field belong to an earlier walk.
    if (field === undefined) break;
    // The preceding key names the entry; the fields inside belong to the value.
    const in_entry = at > 0 && fields[at - 1]?.map_key !== undefined;
    if (!in_entry) path = joinPath(path, field.name);
    if (!field.repeated) continue;
    path += `[${element(bytes, levels, at, field, at === level ? packed : undefined)}]`;
  }
  return path;
}

function element(
  bytes: Uint8Array,
  levels: Levels,
  level: number,
  field: FieldEntry,
  packed: PackedPlace | undefined,
): string {
  const record = levels.records[level]!;
  if (field.map_key !== undefined) {
    const key = mapKey(bytes, record, field.map_key);
    if (key !== undefined) return key;
  }
  const from = levels.starts[level]!;
  levels.countable_bytes -= (packed?.at ?? record) - from;
  if (levels.countable_bytes < 0) return "?";
  const before = countElements(bytes, from, record, field);
  if (packed === undefined) return String(before);
  const inside = { bytes, pos: packed.start };
  return String(before + packedElements(inside, packed.at, field.wire));
}

/** The path, shortened if it is too long: names in a schema have no length limit. */
function clipPath(path: string): string {
  return path.length > PATH_CHARS ? `${path.slice(0, PATH_CHARS)}…` : path;
}

const MESSAGE_CHARS = 512;

/** Collects what one validation finds. It is reused, so call `reset` first. */
export class Findings {
  total = 0;
  unknown = 0;
  readonly #most: number;
  mode: UnknownFields = "allow";
  #violations: Violation[] = [];
  #unknown_paths: string[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  reset(mode: UnknownFields): void {
    this.total = 0;
    this.unknown = 0;
    this.mode = mode;
  }

  /** Counts a violation; returns whether to describe it with `describe`. */
  count(): boolean {
    if (this.total === 0) this.#violations = [];
    return ++this.total <= this.#most;
  }

  describe(path: string, rule: string, message: string): void {
    const text = message.length > MESSAGE_CHARS ? `${message.slice(0, MESSAGE_CHARS)}…` : message;
    this.#violations.push({ path: clipPath(path), rule, message: text });
  }

  /** Counts an unknown field; returns whether to name it with `nameUnknown`. */
  countUnknown(): boolean {
    if (this.unknown++ === 0) this.#unknown_paths = [];
    if (this.mode === "refuse") return this.count();
    return this.mode === "warn" && this.unknown <= this.#most;
  }

  nameUnknown(path: string, message: string): void {
    if (this.mode === "refuse") this.describe(path, "unknown-field", message);
    else this.#unknown_paths.push(clipPath(path));
  }

  result(): Validation {
    if (this.total === 0 && this.unknown === 0) return VALID;
    return {
      violations: this.total === 0 ? VALID.violations : this.#violations,
      total: this.total,
      unknown: this.unknown,
      unknown_paths: this.mode === "warn" && this.unknown > 0
        ? this.#unknown_paths
        : VALID.unknown_paths,
    };
  }
}
