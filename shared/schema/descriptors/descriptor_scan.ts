/**
 * Counts the parts of a FileDescriptorSet before anything is decoded, and checks them against limits: a few bytes on
 * the wire become hundreds in memory. Source comments, most of a real set and of no use here, are cut out. Ignores
 * names and types.
 */
import { concat } from "../../containers/concat.ts";
import type { DescMessage } from "@bufbuild/protobuf";
import {
  DescriptorProtoSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { SchemaError } from "../schema_error.ts";

/** The limits of a descriptor set. */
export interface DescriptorLimits {
  /** Bytes as stored and sent. */
  readonly gzipped_bytes: number;
  /** Bytes when inflated. */
  readonly unpacked_bytes: number;
  readonly files: number;
  /** Messages; nested ones and map entries count. */
  readonly messages: number;
  /** Fields, values, oneofs, reservations, options: whatever takes memory. */
  readonly elements: number;
  /** Depth of nested messages; the Protobuf compiler stops at 32 as well. */
  readonly nesting: number;
}

/** One encoded file of a set. */
export interface ScannedFile {
  /** The file without source comments. */
  readonly bytes: Uint8Array;
  /** The parts that take memory: see `DescriptorLimits.elements`. */
  readonly elements: number;
}

/** Depth of nested parts of one descriptor, options included. */
const DEPTH_MAX = 64;

interface Scan {
  readonly bytes: Uint8Array;
  readonly limits: DescriptorLimits;
  position: number;
  messages: number;
  elements: number;
}

/** The known fields of a descriptor, by number: a message, many values, or one value, which costs nothing. */
type Shape = ReadonlyMap<number, DescMessage | "values" | "value">;

const shapes = new Map<DescMessage, Shape>();

function shapeOf(desc: DescMessage): Shape {
  let shape = shapes.get(desc);
  if (shape === undefined) {
    shape = new Map(desc.fields.map((field) => {
      const single = field.fieldKind === "list" ? "values" : "value";
      return [field.number, field.message ?? single] as const;
    }));
    shapes.set(desc, shape);
  }
  return shape;
}

/** Counts a field that takes memory of its own, also an unknown one. */
function countField(scan: Scan, desc: DescMessage | undefined, number: number): void {
  if (desc === undefined || shapeOf(desc).get(number) !== "value") countElements(scan, 1);
}

function truncated(scan: Scan): SchemaError {
  return new SchemaError(
    `the descriptor set is cut off or no FileDescriptorSet: its bytes stop making sense at ` +
      `${scan.position} of ${scan.bytes.length}`,
  );
}

/** Reads a varint as a number; above 2^53 it is inexact, which no length or tag reaches. */
function readVarint(scan: Scan, end: number): number {
  let value = 0;
  for (let factor = 1, count = 0; count < 10; count++, factor *= 128) {
    if (scan.position >= end) throw truncated(scan);
    const byte = scan.bytes[scan.position++] ?? 0;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
  }
  throw truncated(scan);
}

function advance(scan: Scan, count: number, end: number): void {
  if (count > end - scan.position) throw truncated(scan);
  scan.position += count;
}

function countElements(scan: Scan, count: number): void {
  scan.elements += count;
  if (scan.elements > scan.limits.elements) {
    throw new SchemaError(`the descriptor set has more than ${scan.limits.elements} parts`);
  }
}

function countMessage(scan: Scan, nesting: number): void {
  if (++scan.messages > scan.limits.messages) {
    throw new SchemaError(`the descriptor set has more than ${scan.limits.messages} messages`);
  }
  if (nesting > scan.limits.nesting) {
    throw new SchemaError(`messages are nested more than ${scan.limits.nesting} deep`);
  }
}

interface Place {
  readonly desc: DescMessage | undefined;
  readonly end: number;
  readonly depth: number;
  readonly nesting: number;
}

/** Enters a length-delimited field, or skips it. */
function scanDelimited(scan: Scan, number: number, place: Place): void {
  const length = readVarint(scan, place.end);
  const start = scan.position;
  advance(scan, length, place.end);
  const inner = place.desc === undefined ? undefined : shapeOf(place.desc).get(number);
  if (inner === undefined || typeof inner === "string") {
    // Packed numbers become an array of numbers.
    if (inner === "values") countElements(scan, length >> 6);
    return;
  }
  const nesting = place.nesting + (inner === DescriptorProtoSchema ? 1 : 0);
  if (inner === DescriptorProtoSchema) countMessage(scan, nesting);
  scan.position = start;
  scanFields(scan, { desc: inner, end: start + length, depth: place.depth + 1, nesting });
}

/** Skips the value of a field; false at the end of a group. */
function scanValue(scan: Scan, number: number, wire_type: number, place: Place): boolean {
  switch (wire_type) {
    case 0:
      readVarint(scan, place.end);
      return true;
    case 1:
      advance(scan, 8, place.end);
      return true;
    case 2:
      scanDelimited(scan, number, place);
      return true;
    case 3: {
      const closed = scanFields(scan, { ...place, desc: undefined, depth: place.depth + 1 });
      if (closed !== number) throw truncated(scan);
      return true;
    }
    case 4:
      return false;
    case 5:
      advance(scan, 4, place.end);
      return true;
  }
  throw truncated(scan);
}

/** Scans the fields up to `end`; returns the number of the group that ended there, or 0. */
function scanFields(scan: Scan, place: Place): number {
  if (place.depth > DEPTH_MAX) {
    throw new SchemaError(`the descriptor set is nested more than ${DEPTH_MAX} deep`);
  }
  while (scan.position < place.end) {
    const tag = readVarint(scan, place.end);
    const number = Math.floor(tag / 8);
    if (number < 1 || number > 0x1fff_ffff) throw truncated(scan);
    countField(scan, place.desc, number);
    if (!scanValue(scan, number, tag % 8, place)) return number;
  }
  return 0;
}

const SOURCE_CODE_INFO = FileDescriptorProtoSchema.field.sourceCodeInfo.number;

function scanFile(scan: Scan, end: number): ScannedFile {
  const kept: Uint8Array[] = [];
  const before = scan.elements;
  const place: Place = { desc: FileDescriptorProtoSchema, end, depth: 1, nesting: 0 };
  while (scan.position < end) {
    const start = scan.position;
    const tag = readVarint(scan, end);
    const number = Math.floor(tag / 8);
    if (number === SOURCE_CODE_INFO && tag % 8 === 2) {
      advance(scan, readVarint(scan, end), end);
      continue;
    }
    countField(scan, place.desc, number);
    if (number < 1 || !scanValue(scan, number, tag % 8, place)) throw truncated(scan);
    kept.push(scan.bytes.subarray(start, scan.position));
  }
  return { bytes: concat(kept), elements: scan.elements - before };
}

const FILE = FileDescriptorSetSchema.field.file.number;

/**
 * The encoded FileDescriptorProtos of a set, without source comments. Throws SchemaError if the bytes are no Protobuf
 * or exceed `limits`; memory stays near the size of the bytes.
 */
export function scanDescriptorSet(bytes: Uint8Array, limits: DescriptorLimits): ScannedFile[] {
  const scan: Scan = { bytes, limits, position: 0, messages: 0, elements: 0 };
  const place: Place = { desc: undefined, end: bytes.length, depth: 0, nesting: 0 };
  const files: ScannedFile[] = [];
  while (scan.position < bytes.length) {
    const tag = readVarint(scan, bytes.length);
    const number = Math.floor(tag / 8);
    if (number !== FILE || tag % 8 !== 2) {
      countElements(scan, 1);
      if (number < 1 || !scanValue(scan, number, tag % 8, place)) throw truncated(scan);
      continue;
    }
    if (files.length >= limits.files) {
      throw new SchemaError(`the descriptor set has more than ${limits.files} files`);
    }
    const length = readVarint(scan, bytes.length);
    const end = scan.position + length;
    if (end > bytes.length) throw truncated(scan);
    files.push(scanFile(scan, end));
  }
  return files;
}
