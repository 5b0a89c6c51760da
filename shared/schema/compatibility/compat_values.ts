/**
 * How a value of one Protobuf type is read as another: the groups of types with one form on the wire and in JSON. Only
 * single values; `compat_values.ts` has repeated ones.
 */
import { ScalarType } from "@bufbuild/protobuf";
import type { DescEnum, DescExtension, DescField, DescMessage } from "@bufbuild/protobuf";
import { isClosedIn, READS, typePlace } from "./compat_comparison.ts";
import type { Comparison, Place, Reading } from "./compat_comparison.ts";
import { compareReservations, reservationsOf, reservesNumber } from "./compat_reserved.ts";
import type { Reservations } from "./compat_reserved.ts";

/** The type of a value, as one side declares it. */
type ValueType =
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
function merges(written: ValueType, read: ValueType): boolean {
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

/** The values of an enum: names by number (aliases share one) and the number of each name. */
interface Values {
  readonly names: ReadonlyMap<number, readonly string[]>;
  readonly numbers: ReadonlyMap<string, number>;
}

function valuesOf({ values }: DescEnum): Values {
  const names = new Map<number, string[]>();
  for (const { name, number } of values) {
    const known = names.get(number);
    if (known === undefined) names.set(number, [name]);
    else known.push(name);
  }
  return { names, numbers: new Map(values.map(({ name, number }) => [name, number])) };
}

function lostBy(reader: string, number: number, data: "older" | "newer"): string {
  return `${reader}'s closed enum drops ${number} from ${data} data, and refuses a message ` +
    "in which a required field has it";
}

function reportGone(
  comparison: Comparison,
  to: DescEnum,
  number: number,
  names: readonly string[],
  is: Values,
  reserved: Reservations,
): void {
  const is_reserved = reservesNumber(reserved, number);
  const is_lost = comparison.isClosed("to", to) && comparison.directions.backward;
  const safe = is_reserved && !is_lost;
  const [first = ""] = names;
  const moved = names.find((name) => is.numbers.has(name));
  if (moved !== undefined) {
    const detail = `had the number ${number}, has ${is.numbers.get(moved)}` +
      (is_reserved ? "" : `, and ${number} is not reserved`) +
      (is_lost ? `; ${lostBy("the newer version", number, "older")}` : "");
    const place = typePlace(to, moved);
    comparison.report(safe ? "warning" : "error", "enum-value-renumbered", place, detail);
    return;
  }
  const place = typePlace(to, first);
  if (!is_reserved) {
    const detail = `is gone and its number ${number} is not reserved`;
    comparison.report("error", "enum-value-removed", place, detail);
  } else if (is_lost) {
    const detail = `is gone; ${lostBy("the newer version", number, "older")}`;
    comparison.report("error", "enum-value-removed", place, detail);
  } else if (!names.every((name) => reserved.names.has(name))) {
    const detail = "is gone and its name is not reserved, which JSON goes by";
    comparison.report("warning", "enum-value-removed", place, detail);
  }
}

function reportNames(
  comparison: Comparison,
  to: DescEnum,
  number: number,
  old_names: readonly string[],
  was: Values,
  is: Values,
): void {
  const names = is.names.get(number) ?? [];
  const lost = old_names.filter((name) => !names.includes(name));
  const came = names.filter((name) => !old_names.includes(name));
  const [first = ""] = names;
  const foreign = came.find((name) => was.numbers.has(name));
  const left = lost.find((name) => is.numbers.has(name));
  if (foreign !== undefined || left !== undefined) {
    const name = foreign ?? first;
    const detail = `the number ${number} was ${old_names.join(", ")}, is ${names.join(", ")}; ` +
      `${foreign ?? left} had or has another number, so values change their meaning`;
    comparison.report("error", "enum-value-reused", typePlace(to, name), detail);
  } else if (lost.length === old_names.length) {
    const detail = `the value ${number} was named ${lost.join(", ")}; JSON goes by the name`;
    comparison.report("warning", "enum-value-renamed", typePlace(to, first), detail);
  } else if (lost.length > 0) {
    const detail = `the value ${number} is no longer named ${lost.join(", ")} too; JSON goes by it`;
    comparison.report("warning", "enum-alias-removed", typePlace(to, first), detail);
  }
}

function compareKind(comparison: Comparison, from: DescEnum, to: DescEnum): void {
  if (from.open === to.open) return;
  const closed = { ok: false, note: "drops numbers that the closed enum does not name" };
  const [change, backward, forward] = to.open
    ? ["was closed, is open", READS, closed] as const
    : ["was open, is closed", closed, READS] as const;
  comparison.reportReadings("enum-kind-changed", typePlace(to), change, backward, forward);
}

function compareFirst(comparison: Comparison, from: DescEnum, to: DescEnum): void {
  const was = from.values[0];
  const is = to.values[0];
  if (was === undefined || is === undefined || was.number === is.number) return;
  const detail = `the first value was ${was.name} = ${was.number}, is ${is.name} = ${is.number}; ` +
    `absent fields change their value`;
  comparison.report("error", "enum-default-changed", typePlace(to, is.name), detail);
}

/** Compares two versions of an enum and reports. */
export function compareEnums(comparison: Comparison, from: DescEnum, to: DescEnum): void {
  const was = valuesOf(from);
  const is = valuesOf(to);
  const reserved = reservationsOf(to);
  for (const [number, names] of was.names) {
    if (is.names.has(number)) reportNames(comparison, to, number, names, was, is);
    else reportGone(comparison, to, number, names, is, reserved);
  }
  if (comparison.isClosed("from", from) && comparison.directions.forward) {
    for (const [number, [name = ""]] of is.names) {
      if (was.names.has(number)) continue;
      const detail = `is new; ${lostBy("the older version", number, "newer")}`;
      comparison.report("error", "enum-value-added", typePlace(to, name), detail);
    }
  }
  compareReservations(comparison, from, to, to.values);
  compareKind(comparison, from, to);
  compareFirst(comparison, from, to);
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
