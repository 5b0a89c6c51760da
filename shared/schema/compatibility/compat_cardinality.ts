/**
 * Types of whole fields: how often a value occurs (single, repeated, a map) and its type. `compat_fields.ts` and
 * `compat_oneofs.ts` have names, presence, defaults and oneofs.
 */
import type { DescExtension, DescField } from "@bufbuild/protobuf";
import {
  type Comparison,
  isClosedIn,
  type Place,
  type Reading,
  READS,
} from "./compat_comparison.ts";
import {
  compareValueTypes,
  isPackable,
  jsonForm,
  merges,
  typeName,
  type ValueType,
} from "./compat_values.ts";

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
