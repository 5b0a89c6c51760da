/**
 * How a value of one Protobuf type is read as another (the groups of types with one form on the wire and in JSON), and
 * how often it occurs in a field: single, repeated, a map.
 */
import { ScalarType } from "@bufbuild/protobuf";
import type { DescEnum, DescExtension, DescField, DescMessage } from "@bufbuild/protobuf";
import { isClosedIn, READS } from "./compat_comparison.ts";
import type { Comparison, Place, Reading } from "./compat_comparison.ts";

/** The type of a value, as one side declares it. */
type ValueType =
  | { readonly kind: "scalar"; readonly scalar: ScalarType }
  | { readonly kind: "enum"; readonly enum: DescEnum; readonly is_closed: boolean }
  | { readonly kind: "message"; readonly message: DescMessage; readonly delimited: boolean };

type Form = "varint" | "zigzag" | "fixed32" | "fixed64" | "float" | "double" | "bytes";

const { INT64, UINT64, BOOL, SINT32, SINT64 } = ScalarType;

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
function isPackable(type: ValueType): boolean {
  return !["bytes", "message", "group"].includes(formOf(type));
}

/** The type in the syntax of a `.proto` file. */
function typeName(type: ValueType): string {
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

/** Lowest and highest value of the integer types. */
export function boundsOf(scalar: ScalarType): readonly [bigint, bigint] {
  switch (scalar) {
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return [0n, 2n ** 32n - 1n];
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return [0n, 2n ** 64n - 1n];
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return [-(2n ** 63n), 2n ** 63n - 1n];
    default:
      return [-(2n ** 31n), 2n ** 31n - 1n];
  }
}

/** The lowest and the highest number of a type; for an enum those of int32. */
function rangeOf(type: ValueType): readonly [bigint, bigint] {
  if (type.kind !== "scalar") return boundsOf(ScalarType.INT32);
  return type.scalar === BOOL ? [0n, 1n] : boundsOf(type.scalar);
}

/** Whether different integers of type `written` may be read as the same one. */
function merges(written: ValueType, read: ValueType): boolean {
  const size = (type: ValueType) => rangeOf(type)[1] - rangeOf(type)[0];
  return formOf(written) !== "bytes" && formOf(read) !== "bytes" && size(written) > size(read);
}

function readInteger(written: ValueType, read: ValueType): Reading {
  if (read.kind === "enum" && read.is_closed) {
    return { ok: false, note: "drops numbers that the closed enum does not name" };
  }
  const [low, high] = rangeOf(written);
  const [read_low, read_high] = rangeOf(read);
  if (low >= read_low && high <= read_high) return READS;
  return { ok: true, note: `changes values that ${typeName(read)} cannot hold` };
}

/** For each pair of enums that fields turn into each other: thousands of fields may have the same. */
const missing_names = new WeakMap<DescEnum, WeakMap<DescEnum, string>>();

/** The first names of numbers that `read` does not have; "": it has all. */
function missingNames(written: DescEnum, read: DescEnum): string {
  const of = missing_names.getOrInsertComputed(written, () => new WeakMap());
  return of.getOrInsertComputed(read, () => {
    const known = new Set(read.values.map(({ number }) => number));
    const missing = written.values.filter(({ number }) => !known.has(number));
    return missing.slice(0, 5).map(({ name }) => name).join(", ");
  });
}

function readEnum(written: DescEnum, read: DescEnum, is_closed: boolean): Reading {
  const names = missingNames(written, read);
  if (names === "") return { ok: true, note: "takes the numbers by their new names" };
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
function compareValueTypes(
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
function jsonForm(type: ValueType): string {
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

/** A field of a message, or an extension. */
export type AnyField = DescField | DescExtension;

/** Two versions of one field, and where findings about them belong. */
export interface FieldPair {
  readonly comparison: Comparison;
  readonly from: AnyField;
  readonly to: AnyField;
  readonly place: Place;
}

type Cardinality = "singular" | "repeated" | "map";

function cardinalityOf(field: AnyField): Cardinality {
  if (field.fieldKind === "map") return "map";
  return field.fieldKind === "list" ? "repeated" : "singular";
}

/** The type of a field's values: of each one if repeated, of the map's values for a map. */
function valueTypeOf(field: AnyField): ValueType {
  if (field.enum !== undefined) {
    return { kind: "enum", enum: field.enum, is_closed: isClosedIn(field, field.enum) };
  }
  if (field.message === undefined) return { kind: "scalar", scalar: field.scalar };
  const delimited = "delimitedEncoding" in field && field.delimitedEncoding;
  return { kind: "message", message: field.message, delimited };
}

function keyTypeOf(field: AnyField): ValueType | undefined {
  return field.fieldKind === "map" ? { kind: "scalar", scalar: field.mapKey } : undefined;
}

/** The field's type in the syntax of a `.proto` file. */
function fieldTypeName(field: AnyField): string {
  const value = typeName(valueTypeOf(field));
  const key = keyTypeOf(field);
  if (key !== undefined) return `map<${typeName(key)}, ${value}>`;
  return field.fieldKind === "list" ? `repeated ${value}` : value;
}

function readCardinality(written: AnyField, read: AnyField): Reading {
  if (isPackable(valueTypeOf(written)) || isPackable(valueTypeOf(read))) {
    return { ok: false, note: "cannot rely on how numbers of that kind are packed" };
  }
  if (read.fieldKind === "list") return { ok: true, note: "gets a list of at most one" };
  return valueTypeOf(written).kind === "message"
    ? { ok: false, note: "merges all messages of the list into one" }
    : { ok: false, note: "keeps only the last value of the list" };
}

/** On the wire a map is a list of messages with a key (1) and a value (2). */
function compareMapWithList(comparison: Comparison, from: AnyField, to: AnyField): boolean {
  const [map, list] = from.fieldKind === "map" ? [from, to] : [to, from];
  const key_type = keyTypeOf(map);
  const fields = list.message?.fields ?? [];
  const key = fields.find(({ number }) => number === 1);
  const value = fields.find(({ number }) => number === 2);
  if (key_type === undefined || fields.length !== 2 || key === undefined || value === undefined) {
    return false;
  }
  // The entries of a map are length-delimited, whatever the file says of other messages.
  if (list.fieldKind === "list" && list.listKind === "message" && list.delimitedEncoding) {
    return false;
  }
  // Of the members of one oneof a reader keeps only the last.
  if (key.oneof !== undefined && key.oneof === value.oneof) return false;
  if (cardinalityOf(key) !== "singular" || cardinalityOf(value) !== "singular") return false;
  const agrees = (a: ValueType, b: ValueType) =>
    compareValueTypes(comparison, ...(map === from ? [a, b] as const : [b, a] as const)) ===
      undefined;
  return agrees(key_type, valueTypeOf(key)) && agrees(valueTypeOf(map), valueTypeOf(value));
}

function reportCardinality({ comparison, from, to, place }: FieldPair): boolean {
  const change = `was ${fieldTypeName(from)}, is ${fieldTypeName(to)}`;
  const rule = "field-cardinality-changed";
  if (from.fieldKind !== "map" && to.fieldKind !== "map") {
    const backward = readCardinality(from, to);
    return comparison.reportReadings(rule, place, change, backward, readCardinality(to, from));
  }
  const listed = from.fieldKind === "list" || to.fieldKind === "list";
  if (listed && compareMapWithList(comparison, from, to)) {
    const reads = (read: AnyField): Reading =>
      read.fieldKind === "map"
        ? { ok: false, note: "keeps only the last of the entries with one key" }
        : READS;
    return comparison.reportReadings(rule, place, change, reads(to), reads(from));
  }
  const wrong = {
    ok: false,
    note: "finds no map entries where it expects them, or some elsewhere",
  };
  return comparison.reportReadings(rule, place, change, wrong, wrong);
}

function reportTypes({ comparison, from, to, place }: FieldPair): boolean {
  const change = `was ${fieldTypeName(from)}, is ${fieldTypeName(to)}`;
  const pairs = [[valueTypeOf(from), valueTypeOf(to)] as const];
  const from_key = keyTypeOf(from);
  const to_key = keyTypeOf(to);
  if (from_key !== undefined && to_key !== undefined) pairs.push([from_key, to_key]);
  let reads = true;
  for (const [was, is] of pairs) {
    const readings = compareValueTypes(comparison, was, is);
    if (readings === undefined) continue;
    const of_keys = (written: ValueType, read: ValueType, reading: Reading): Reading =>
      was === from_key && merges(written, read)
        ? { ok: false, note: "makes one entry of several, whose keys it cannot hold" }
        : reading;
    const backward = of_keys(was, is, readings.backward);
    const forward = of_keys(is, was, readings.forward);
    const fits = comparison.reportReadings("field-type-changed", place, change, backward, forward);
    if (fits && jsonForm(was) !== jsonForm(is)) {
      const detail = `${change}; JSON has ${jsonForm(is)} where it had ${jsonForm(was)}`;
      comparison.report("warning", "json-type-changed", place, detail);
    }
    reads &&= fits;
  }
  return reads;
}

/**
 * Compares and reports the types of two fields with one number. True if each side that must read the other's values
 * can, so that defaults and presence are worth comparing.
 */
export function compareFieldTypes(pair: FieldPair): boolean {
  const was = cardinalityOf(pair.from);
  const is = cardinalityOf(pair.to);
  if (was === is) return reportTypes(pair);
  const fits = reportCardinality(pair);
  // Between a map and a list the types were compared already.
  return was === "map" || is === "map" ? fits : reportTypes(pair) && fits;
}
