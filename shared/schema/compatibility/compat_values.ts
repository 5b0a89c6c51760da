/**
 * How a value of one Protobuf type is read as another: the groups of types with one form on the wire and in JSON. Only
 * single values; `compat_cardinality.ts` has repeated ones.
 */
import { type DescEnum, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { type Comparison, type Reading, READS } from "./compat_comparison.ts";

/** The type of a value, as one side declares it. */
export type ValueType =
  | { readonly kind: "scalar"; readonly scalar: ScalarType }
  | { readonly kind: "enum"; readonly enum: DescEnum; readonly is_closed: boolean }
  | { readonly kind: "message"; readonly message: DescMessage; readonly delimited: boolean };

type Form = "varint" | "zigzag" | "fixed32" | "fixed64" | "float" | "double" | "bytes";

const { INT64, UINT32, UINT64, BOOL, SINT32, SINT64 } = ScalarType;

function formOf(type: ValueType): Form | "message" | "group" {
  if (type.kind === "message") return type.delimited ? "group" : "message";
  if (type.kind === "enum") return "varint";
  switch (type.scalar) {
    case SINT32:
    case SINT64:
      return "zigzag";
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return "fixed32";
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return "fixed64";
    case ScalarType.FLOAT:
      return "float";
    case ScalarType.DOUBLE:
      return "double";
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return "bytes";
    default:
      return "varint";
  }
}

/** Whether repeated values are packed into one field by default. */
export function isPackable(type: ValueType): boolean {
  return !["bytes", "message", "group"].includes(formOf(type));
}

/** The type in the syntax of a `.proto` file. */
export function typeName(type: ValueType): string {
  switch (type.kind) {
    case "scalar":
      return ScalarType[type.scalar].toLowerCase();
    case "enum":
      return `enum ${type.enum.typeName}`;
    case "message":
      return `${type.delimited ? "group" : "message"} ${type.message.typeName}`;
    default:
      return type satisfies never;
  }
}

function readBytes(written: ValueType, read: ValueType): Reading {
  const was = written.kind === "scalar" && written.scalar === ScalarType.BYTES;
  const is = read.kind === "scalar" && read.scalar === ScalarType.STRING;
  return was && is ? { ok: false, note: "refuses values that are not UTF-8" } : READS;
}

/** The lowest and the highest number of a type; for an enum those of int32. */
function boundsOf(type: ValueType): readonly [bigint, bigint] {
  if (type.kind !== "scalar") return [-(2n ** 31n), 2n ** 31n - 1n];
  switch (type.scalar) {
    case BOOL:
      return [0n, 1n];
    case UINT32:
    case ScalarType.FIXED32:
      return [0n, 2n ** 32n - 1n];
    case INT64:
    case SINT64:
    case ScalarType.SFIXED64:
      return [-(2n ** 63n), 2n ** 63n - 1n];
    case UINT64:
    case ScalarType.FIXED64:
      return [0n, 2n ** 64n - 1n];
    default:
      return [-(2n ** 31n), 2n ** 31n - 1n];
  }
}

/** Whether different integers of type `written` may be read as the same one. */
export function merges(written: ValueType, read: ValueType): boolean {
  const size = (type: ValueType) => boundsOf(type)[1] - boundsOf(type)[0];
  return formOf(written) !== "bytes" && formOf(read) !== "bytes" && size(written) > size(read);
}

function readInteger(written: ValueType, read: ValueType): Reading {
  if (read.kind === "enum" && read.is_closed) {
    return { ok: false, note: "drops numbers that the closed enum does not name" };
  }
  const [low, high] = boundsOf(written);
  const [read_low, read_high] = boundsOf(read);
  if (low >= read_low && high <= read_high) return READS;
  return { ok: true, note: `changes values that ${typeName(read)} cannot hold` };
}

function readEnum(written: DescEnum, read: DescEnum, is_closed: boolean): Reading {
  const missing = written.values.filter(({ number }) =>
    !read.values.some((value) => value.number === number)
  );
  if (missing.length === 0) return { ok: true, note: "takes the numbers by their new names" };
  const names = missing.slice(0, 5).map(({ name }) => name).join(", ");
  return is_closed
    ? { ok: false, note: `drops ${names}` }
    : { ok: true, note: `has no name for ${names}` };
}

/** How a value of type `written` is read as type `read`; `same`: both are the same type. */
function readValue(written: ValueType, read: ValueType, same: boolean): Reading {
  const written_form = formOf(written);
  const read_form = formOf(read);
  if (written_form === "message" && read_form === "bytes") {
    return read.kind === "scalar" && read.scalar === ScalarType.BYTES
      ? { ok: true, note: "takes the encoded message as bytes" }
      : { ok: false, note: "refuses encoded messages as text" };
  }
  if (written_form === "bytes" && read_form === "message") {
    return { ok: false, note: "refuses values that are no encoded message" };
  }
  if (written_form !== read_form) {
    return { ok: false, note: "finds another wire type or number format" };
  }
  if (written.kind === "message") {
    return same ? READS : { ok: false, note: "takes one message for another" };
  }
  if (written.kind === "enum" && read.kind === "enum") {
    return same ? READS : readEnum(written.enum, read.enum, read.is_closed);
  }
  return written_form === "bytes" ? readBytes(written, read) : readInteger(written, read);
}

function isSame(comparison: Comparison, from: ValueType, to: ValueType): boolean {
  if (from.kind === "scalar") return to.kind === "scalar" && from.scalar === to.scalar;
  if (from.kind === "enum") return to.kind === "enum" && comparison.sameType(from.enum, to.enum);
  return to.kind === "message" && from.delimited === to.delimited &&
    comparison.sameType(from.message, to.message);
}

/** How the two declarations read each other's values; undefined if they are the same type. */
export function compareValueTypes(
  comparison: Comparison,
  from: ValueType,
  to: ValueType,
): { readonly backward: Reading; readonly forward: Reading } | undefined {
  if (isSame(comparison, from, to)) return undefined;
  const same = from.kind === "message" && to.kind === "message" &&
    comparison.sameType(from.message, to.message);
  return { backward: readValue(from, to, same), forward: readValue(to, from, same) };
}

const JSON_STRINGS: readonly ScalarType[] = [
  INT64,
  UINT64,
  SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
];

/** The ProtoJSON form of a type. */
export function jsonForm(type: ValueType): string {
  if (type.kind === "message") return "an object";
  if (type.kind === "enum") return "a value's name";
  if (JSON_STRINGS.includes(type.scalar)) return "a number in quotes";
  switch (type.scalar) {
    case BOOL:
      return "true or false";
    case ScalarType.STRING:
      return "a string";
    case ScalarType.BYTES:
      return "base64";
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return "a number";
    default:
      return "a whole number";
  }
}
