/**
 * The structural check of binary data: one walk over the wire along compiled tables, without an object tree, and
 * without allocation for valid data. It checks types, not rules.
 */
import { isUtf8 } from "node:buffer";
import { countableBytes, Findings, joinPath, pathTo } from "./validate_findings.ts";
import type { Levels, PackedPlace } from "./validate_findings.ts";
import type { SchemaLimits, UnknownFields, Validation } from "./validate_types.ts";
import {
  type FieldEntry,
  type MessageTable,
  WIRE_BYTES,
  WIRE_END_GROUP,
  WIRE_FIXED32,
  WIRE_FIXED64,
  WIRE_GROUP,
  WIRE_VARINT,
} from "./validate_table.ts";

/** Shorter text than this is checked here: the native check costs about 80 ns a call. */
const SHORT_TEXT_BYTES = 64;
/** Ends a walk: nothing after it can be read. Thrown and caught here only. */
const STOP = new Error("the walk ends here");
const NO_BYTES = new Uint8Array(0);
/** The steps that a packed element costs less than another value. */
const PACKED_LESS = 0.5;
/** The walk ends after this many missing fields, as naming them may be disproportionate to the length of the data. */
const LACKING_MAX = 10_000;

/** Walks one message at a time; it is not reentrant. */
export class WireWalker {
  readonly #depth: number;
  readonly #findings: Findings;
  #bytes: Uint8Array = NO_BYTES;
  #pos = 0;
  /** The low 32 bits of the last varint. */
  #low = 0;
  /** The depth of the path to the current position. */
  #level = 0;
  readonly #levels: Levels;
  /** Whether a singular message occurred more than once: readers merge the pieces. */
  #in_pieces = false;
  /** The number of violations that only report a missing required field. */
  #lacking = 0;
  /** The decoding cost of the data that the last walk has passed; see `validate_table.ts`. */
  steps = 0;

  constructor(limits: SchemaLimits) {
    this.#depth = limits.depth;
    this.#findings = new Findings(limits.violations);
    this.#levels = {
      fields: new Array(limits.depth).fill(undefined),
      records: new Array(limits.depth).fill(0),
      starts: new Array(limits.depth).fill(0),
      countable_bytes: 0,
    };
  }

  /** Walks a message. Never throws, for any bytes. */
  walk(table: MessageTable, bytes: Uint8Array, mode: UnknownFields): Validation {
    this.#findings.reset(mode);
    this.#bytes = bytes;
    this.#pos = 0;
    this.#level = 0;
    this.#in_pieces = false;
    this.#lacking = 0;
    this.steps = 0;
    this.#levels.countable_bytes = countableBytes(bytes.length);
    try {
      this.#message(table, bytes.length, 0);
    } catch (error) {
      if (error !== STOP) throw error;
    } finally {
      this.#bytes = NO_BYTES;
    }
    return this.#findings.result();
  }

  /** Whether the last walk found only required fields missing, perhaps of one piece. */
  get lacks_in_pieces(): boolean {
    return this.#in_pieces && this.#lacking > 0 && this.#lacking === this.#findings.total;
  }

  /** Walks a message up to `end` or, with `group`, to the end of the group with that number. */
  #message(table: MessageTable, end: number, group: number): void {
    const level = this.#level;
    const bytes = this.#bytes;
    const { fields, records } = this.#levels;
    this.#levels.starts[level] = this.#pos;
    this.steps += table.steps;
    let seen = 0;
    const late = table.late_required.length > 0 ? new Set<number>() : undefined;
    let pieces = 0;
    let open = group !== 0;
    while (this.#pos < end) {
      records[level] = this.#pos;
      fields[level] = undefined;
      const first = bytes[this.#pos]!;
      let tag = first;
      if (first < 0x80) this.#pos++;
      else tag = this.#longTag(end);
      const number = tag >>> 3;
      const wire = tag & 7;
      if (number === 0) this.#refuseNumber();
      if (wire === WIRE_END_GROUP) {
        if (number !== group) this.#refuseEnd(number);
        open = false;
        break;
      }
      const field = table.find(number);
      fields[level] = field;
      this.steps += field === undefined ? 1 : field.steps;
      if (field === undefined) {
        this.#unknown(table, number, wire);
        this.#skip(number, wire, end);
        continue;
      }
      if ((pieces & field.piece_bit) !== 0) this.#in_pieces = true;
      pieces |= field.piece_bit;
      if (!this.#value(table, field, wire, end)) continue;
      seen |= field.required_bit;
      late?.add(number);
    }
    fields[level] = undefined;
    if (open) this.#fail("group", `the group has no end before byte ${end}`);
    if (seen !== table.required_mask || late !== undefined) {
      this.#missing(table, seen, late);
    }
  }

  /** Reads a value. Returns whether the field has a value now: an unknown value of a closed enum does not count. */
  #value(table: MessageTable, field: FieldEntry, wire: number, end: number): boolean {
    if (wire !== field.wire) {
      if (wire === WIRE_BYTES && field.packable) return this.#packed(table, field, end);
      if (wire <= WIRE_FIXED32) this.#report("wire-type", wrongWire(table, field, wire));
      this.#skip(field.number, wire, end);
      return true;
    }
    switch (field.shape) {
      case "plain":
        this.#pass(wire, end);
        return true;
      case "text":
        this.#text(this.#length(end));
        return true;
      case "message":
        this.#inner(field, wire, end);
        return true;
      case "closed-enum":
        this.#varint(end);
        if (field.values!.has(this.#low | 0)) return true;
        this.#unknownValue(field, undefined);
        return false;
      default:
        return field.shape satisfies never;
    }
  }

  #inner(field: FieldEntry, wire: number, end: number): void {
    const group = wire === WIRE_GROUP;
    const size = group ? 0 : this.#length(end);
    const inner_end = group ? end : this.#pos + size;
    if (this.#level + 1 >= this.#depth) {
      this.#report("depth", `messages are nested more than ${this.#depth} deep`);
      // The end of a group is not known without going deeper.
      if (group) throw STOP;
      this.#pos = inner_end;
      return;
    }
    this.#level++;
    this.#message(field.table!, inner_end, group ? field.number : 0);
    this.#level--;
  }

  #packed(table: MessageTable, field: FieldEntry, end: number): boolean {
    const size = this.#length(end);
    const start = this.#pos;
    const stop = start + size;
    if (field.wire === WIRE_FIXED32 || field.wire === WIRE_FIXED64) {
      const width = field.wire === WIRE_FIXED32 ? 4 : 8;
      if (size % width !== 0) {
        const what = `${size} bytes are not a whole number of packed ${width}-byte elements`;
        this.#fail("truncated", `${what} in ${table.type_name}`);
      }
      this.#pos = stop;
      this.steps += size / width * (field.steps - PACKED_LESS);
      return true;
    }
    while (this.#pos < stop) {
      const at = this.#pos;
      this.steps += field.steps - PACKED_LESS;
      if (this.#bytes[at]! < 0x80) {
        this.#low = this.#bytes[at]!;
        this.#pos++;
      } else {
        this.#varint(stop);
      }
      if (field.shape !== "closed-enum" || field.values!.has(this.#low | 0)) continue;
      this.#unknownValue(field, { start, at });
    }
    return true;
  }

  #text(size: number): void {
    const bytes = this.#bytes;
    const start = this.#pos;
    const end = start + size;
    this.#pos = end;
    if (size <= SHORT_TEXT_BYTES) {
      let all = 0;
      for (let at = start; at < end; at++) all |= bytes[at]!;
      if (all < 0x80) return;
    }
    if (isUtf8(bytes.subarray(start, end))) return;
    this.#report("utf8", `the text in bytes ${start} to ${end} is not valid UTF-8`);
  }

  #pass(wire: number, end: number): void {
    if (wire === WIRE_VARINT) {
      if (this.#pos < end && this.#bytes[this.#pos]! < 0x80) this.#pos++;
      else this.#varint(end);
      return;
    }
    const size = wire === WIRE_BYTES ? this.#length(end) : wire === WIRE_FIXED64 ? 8 : 4;
    if (size > end - this.#pos) this.#cut(end, size - (end - this.#pos));
    this.#pos += size;
  }

  /** Skips a value that the tables do not describe. */
  #skip(number: number, wire: number, end: number): void {
    if (wire > WIRE_FIXED32) {
      const where = `at byte ${this.#levels.records[this.#level]}`;
      this.#fail("wire-type", `wire type ${wire} of field ${number} ${where} does not exist`);
    }
    if (wire === WIRE_GROUP) this.#skipGroup(number, end, this.#level + 1);
    else this.#pass(wire, end);
  }

  #skipGroup(number: number, end: number, level: number): void {
    if (level >= this.#depth) {
      this.#fail("depth", `groups are nested more than ${this.#depth} deep`);
    }
    while (this.#pos < end) {
      const tag = this.#longTag(end);
      const inner = tag >>> 3;
      const wire = tag & 7;
      if (inner === 0) this.#refuseNumber();
      if (wire === WIRE_END_GROUP) {
        if (inner === number) return;
        this.#refuseEnd(inner);
      }
      if (wire === WIRE_GROUP) this.#skipGroup(inner, end, level + 1);
      else this.#skip(inner, wire, end);
    }
    this.#fail("group", `the group of field ${number} has no end before byte ${end}`);
  }

  /** Reads a tag of any size at the position. */
  #longTag(end: number): number {
    const start = this.#pos;
    const tag = this.#prefix(end);
    if (tag <= 0xffffffff) return tag;
    return this.#fail("field-number", `the field number at byte ${start} is beyond 2^29`);
  }

  /** Reads a length, and checks that that many bytes follow. */
  #length(end: number): number {
    const first = this.#bytes[this.#pos];
    let size: number;
    if (first !== undefined && first < 0x80 && this.#pos < end) {
      this.#pos++;
      size = first;
    } else {
      size = this.#prefix(end);
    }
    if (size > end - this.#pos) this.#cut(end, size - (end - this.#pos));
    return size;
  }

  /** Reads a tag or a length. Readers refuse one of more than 5 bytes, with the whole message. */
  #prefix(end: number): number {
    const start = this.#pos;
    const value = this.#varint(end);
    if (this.#pos - start <= 5) return value;
    return this.#fail("varint", `the tag or length at byte ${start} has more than 5 bytes`);
  }

  /** Reads a varint, exact up to 2^53; beyond that the result is at least as large. */
  #varint(end: number): number {
    const bytes = this.#bytes;
    const start = this.#pos;
    let value = 0;
    let low = 0;
    let factor = 1;
    for (let index = 0; index < 10; index++) {
      const at = start + index;
      if (at >= end) this.#cut(end, 1);
      const byte = bytes[at]!;
      value += (byte & 0x7f) * factor;
      if (index < 5) low |= (byte & 0x7f) << (7 * index);
      factor *= 128;
      if (byte < 0x80) {
        if (index === 9 && byte > 1) break;
        this.#pos = at + 1;
        this.#low = low;
        return value;
      }
    }
    return this.#fail("varint", `the varint at byte ${start} is longer than 64 bits`);
  }

  #missing(table: MessageTable, seen: number, late: ReadonlySet<number> | undefined): void {
    for (const field of table.required) {
      if ((seen & field.required_bit) !== 0) continue;
      // In an entry, the absent value stands for an empty message.
      if (table.is_entry) this.#missing(field.table!, 0, undefined);
      else this.#reportMissing(table, field);
    }
    for (const field of table.late_required) {
      if (late?.has(field.number) !== true) this.#reportMissing(table, field);
    }
  }

  #reportMissing(table: MessageTable, field: FieldEntry): void {
    if (++this.#lacking > LACKING_MAX) throw STOP;
    if (!this.#findings.count()) return;
    const path = joinPath(this.#path(), field.name);
    const message = `the required field ${field.name} of ${table.type_name} is missing`;
    this.#findings.describe(path, "required", message);
  }

  #unknown(table: MessageTable, number: number, wire: number): void {
    if (!this.#findings.countUnknown()) return;
    const path = joinPath(this.#path(), String(number));
    this.#findings.nameUnknown(path, unknownField(table, number, wire));
  }

  #unknownValue(field: FieldEntry, packed: PackedPlace | undefined): void {
    if (!this.#findings.countUnknown()) return;
    this.#findings.nameUnknown(this.#path(packed), `${this.#low | 0} is not in ${field.type}`);
  }

  #refuseNumber(): never {
    return this.#fail("field-number", "field number 0 does not exist");
  }

  #refuseEnd(number: number): never {
    this.#levels.fields[this.#level] = undefined;
    return this.#fail("group", `the end of group ${number} has no beginning in this message`);
  }

  #cut(end: number, lacking: number): never {
    return this.#fail("truncated", endsEarly(end, lacking, end === this.#bytes.length));
  }

  #fail(rule: string, message: string): never {
    this.#report(rule, message);
    throw STOP;
  }

  #report(rule: string, message: string): void {
    if (this.#findings.count()) this.#findings.describe(this.#path(), rule, message);
  }

  /** The path to the current field; with `packed`, to one of its elements. */
  #path(packed?: PackedPlace): string {
    return pathTo(this.#bytes, this.#levels, this.#level, packed);
  }
}

const WIRES = ["a varint", "8 bytes", "length-delimited", "a group", "an end of group", "4 bytes"];

function wireName(wire: number): string {
  return WIRES[wire] ?? `wire type ${wire}`;
}

function wrongWire(table: MessageTable, field: FieldEntry, wire: number): string {
  const expected = `${wireName(field.wire)}${field.packable ? " or packed" : ""}`;
  const what = `field ${field.name} of ${table.type_name} (${field.type})`;
  return `${what} is ${expected} on the wire, not ${wireName(wire)}`;
}

/** The message for a field that the schema does not have. */
function unknownField(table: MessageTable, number: number, wire: number): string {
  return `field ${number} (${wireName(wire)}) is not in ${table.type_name}`;
}

/** The message for something that reaches beyond byte `end`, where the data or the message around it ends. */
function endsEarly(end: number, lacking: number, whole: boolean): string {
  const what = whole ? "the data ends" : "the message around it ends";
  const size = lacking > Number.MAX_SAFE_INTEGER ? "2^53 or more" : lacking;
  return `${what} at byte ${end}, at least ${size} bytes too early`;
}
