/**
 * Decides whether a new version of a Protobuf schema is compatible with the old ones. Pure: two descriptor sets and a
 * mode in, findings out. docs/compatibility.md#all-rules lists the rules; the registry stores and refuses versions.
 */
import type { CompatibilityMode } from "../../schema_id.ts";
import { createFileRegistry } from "@bufbuild/protobuf";
import type {
  DescEnum,
  DescExtension,
  DescField,
  DescFile,
  DescMessage,
  DescOneof,
  FileRegistry,
} from "@bufbuild/protobuf";
import { Edition, FeatureSet_FieldPresence as Presence } from "@bufbuild/protobuf/wkt";
import type { FileDescriptorSet } from "@bufbuild/protobuf/wkt";
import { Comparison, fieldPlace, isLibraryType, typePlace } from "./compat_comparison.ts";
import type { Reading } from "./compat_comparison.ts";
import { compareEnums } from "./compat_values.ts";
import { compareField, compareValidationRules } from "./compat_fields.ts";
import { type Finding, FindingCollector, isTransitive, sortFindings } from "./findings.ts";
import {
  compareReservations,
  formatRanges,
  inRanges,
  mergeRanges,
  reservationsOf,
  reservesNumber,
  subtractRanges,
} from "./compat_reserved.ts";
import type { Reservations } from "./compat_reserved.ts";

/** A schema to compare: complete and ordered, as `readDescriptorSet` returns it, linked or not. */
export type SchemaSource = FileDescriptorSet | FileRegistry;

/** A version of a schema with its name in findings. */
export interface SchemaVersion {
  readonly version: string;
  readonly schema: SchemaSource;
}

const linked = (source: SchemaSource): FileRegistry =>
  "kind" in source ? source : createFileRegistry(source);

function extensionsOf(registry: FileRegistry): Map<string, DescExtension> {
  const found = new Map<string, DescExtension>();
  for (const type of registry) {
    if (type.kind !== "extension" || isLibraryType(type.extendee)) continue;
    found.set(`${type.extendee.typeName} ${type.number}`, type);
  }
  return found;
}

function compareExtensions(comparison: Comparison): void {
  const newer = extensionsOf(comparison.to);
  for (const extension of extensionsOf(comparison.from).values()) {
    const extendee = comparison.nameInTo(extension.extendee.typeName);
    const field = `[${extension.typeName}]`;
    const counterpart = newer.get(`${extendee} ${extension.number}`);
    if (counterpart === undefined) {
      const place = { ...typePlace(extension.extendee, field), file: extension.file.proto.name };
      const detail = `is gone; the number ${extension.number} reads as an unknown field`;
      comparison.report("warning", "extension-removed", place, detail);
      continue;
    }
    const place = {
      file: counterpart.file.proto.name,
      message: extendee,
      field: `[${counterpart.typeName}]`,
    };
    if (extension.typeName !== counterpart.typeName) {
      const detail = `extension ${extension.number} was named ${extension.typeName}`;
      comparison.report("warning", "field-renamed", place, detail);
    }
    compareField({ comparison, from: extension, to: counterpart, place });
  }
}

/**
 * The differences between two versions that matter in `mode`, errors first; any error refuses the version. NONE finds
 * nothing. Throws the linker's error for an incomplete set.
 */
export function compareDescriptors(
  from: SchemaSource,
  to: SchemaSource,
  mode: CompatibilityMode,
  versions: { readonly from: string; readonly to: string } = { from: "old", to: "new" },
): Finding[] {
  if (mode === "NONE") return [];
  const comparison = new Comparison(linked(from), linked(to), mode, versions);
  const { messages, enums } = pairTypes(comparison);
  for (const [was, is] of messages) compareMessages(comparison, was, is);
  for (const [was, is] of enums) compareEnums(comparison, was, is);
  compareExtensions(comparison);
  return sortFindings(comparison.findings());
}

/**
 * Compares a candidate with the versions before it, oldest first: with the last one, or in a transitive mode with each.
 * A finding that several versions give is reported once, with the latest of them. At most FINDINGS_MAX findings per
 * severity.
 */
export function checkHistory(
  versions: readonly SchemaVersion[],
  candidate: SchemaVersion,
  mode: CompatibilityMode,
): Finding[] {
  const compared = isTransitive(mode) ? versions.toReversed() : versions.slice(-1);
  const to = mode === "NONE" ? candidate.schema : linked(candidate.schema);
  const collector = new FindingCollector();
  for (const { version, schema } of compared) {
    const names = { from: version, to: candidate.version };
    collector.add(compareDescriptors(schema, to, mode, names));
  }
  return collector.sorted();
}

// Types are versions of each other by full name, by a package that their file changed, by the outer message, or, for
// messages, by shape.

/** Types of the older schema with their newer versions. */
interface Pairs {
  readonly messages: readonly (readonly [DescMessage, DescMessage])[];
  readonly enums: readonly (readonly [DescEnum, DescEnum])[];
}

function editionName({ edition, proto }: DescFile): string {
  if (proto.syntax !== "editions") return proto.syntax === "" ? "proto2" : proto.syntax;
  return Edition[edition].toLowerCase().replace("_", " ");
}

/** Reports changed packages and syntaxes; returns the new package of each old file. */
function compareFiles(comparison: Comparison): Map<string, string> {
  const packages = new Map<string, string>();
  for (const file of comparison.from.files) {
    const counterpart = comparison.to.getFile(file.proto.name);
    if (counterpart === undefined) continue;
    const place = { file: file.proto.name, message: "", field: "" };
    const was = file.proto.package;
    const is = counterpart.proto.package;
    if (was !== is) {
      packages.set(file.proto.name, is);
      const detail = `the package was ${was || "none"}, is ${
        is || "none"
      }; every full name changed`;
      comparison.report("error", "package-changed", place, detail);
    }
    const old_syntax = editionName(file);
    const syntax = editionName(counterpart);
    if (old_syntax === syntax) continue;
    const detail = `was ${old_syntax}, is ${syntax}; what follows from it is reported by itself`;
    comparison.report("warning", "syntax-changed", place, detail);
  }
  return packages;
}

/** The possible full names of a type in the newer schema, the likeliest first. */
function* likelyNames(
  comparison: Comparison,
  type: DescMessage | DescEnum,
  packages: ReadonlyMap<string, string>,
): Generator<string> {
  yield type.typeName;
  if (type.parent !== undefined) {
    yield `${comparison.nameInTo(type.parent.typeName)}.${type.name}`;
    return;
  }
  const renamed = packages.get(type.file.proto.name);
  if (renamed !== undefined) yield renamed === "" ? type.name : `${renamed}.${type.name}`;
}

/** The fields of a message, without the names of types; empty for a message without fields. */
function shapeOf({ proto }: DescMessage): string {
  const fields = proto.field.map(({ number, name, type, label }) =>
    [number, name, type, label].join(":")
  );
  return fields.sort().join(",");
}

/** Messages of the newer schema without an older version, by shape. */
function newShapes(comparison: Comparison, taken: ReadonlySet<string>): Map<string, DescMessage> {
  const shapes = new Map<string, DescMessage>();
  for (const type of comparison.to) {
    if (type.kind !== "message" || taken.has(type.typeName) || isLibraryType(type)) continue;
    const shape = shapeOf(type);
    if (shape !== "" && !shapes.has(shape)) shapes.set(shape, type);
  }
  return shapes;
}

function reportMissing(
  comparison: Comparison,
  message: DescMessage,
  imported: ReadonlySet<DescFile>,
): void {
  const { file } = message;
  const dropped = imported.has(file) && comparison.to.getFile(file.proto.name) === undefined;
  const detail = dropped
    ? "is gone with its file, which others imported; subjects mapped to it are refused"
    : "is gone; subjects mapped to it are refused";
  const severity = dropped ? "warning" : "error";
  comparison.report(severity, "message-removed", typePlace(message), detail);
}

/** Finds renames and removals among messages without a match by name; parents come before their children. */
function pairByShape(
  comparison: Comparison,
  missing: readonly DescMessage[],
  messages: (readonly [DescMessage, DescMessage])[],
): void {
  if (missing.length === 0) return;
  const imported = new Set([...comparison.from.files].flatMap((file) => file.dependencies));
  const shapes = newShapes(comparison, new Set(messages.map(([, to]) => to.typeName)));
  for (const message of missing) {
    const parent = message.parent && comparison.nameInTo(message.parent.typeName);
    const carried = comparison.to.getMessage(`${parent}.${message.name}`);
    if (parent !== undefined && carried !== undefined) {
      comparison.pair(message.typeName, carried.typeName);
      messages.push([message, carried]);
      continue;
    }
    const shape = shapeOf(message);
    const renamed = shapes.get(shape);
    if (renamed === undefined) {
      reportMissing(comparison, message, imported);
      continue;
    }
    shapes.delete(shape);
    comparison.pair(message.typeName, renamed.typeName);
    messages.push([message, renamed]);
    const detail = `was ${message.typeName}; subjects mapped to that name are refused`;
    comparison.report("error", "message-renamed", typePlace(renamed), detail);
  }
}

/** Finds the counterparts of all types, and reports changed packages and syntaxes, and removed messages. */
function pairTypes(comparison: Comparison): Pairs {
  const packages = compareFiles(comparison);
  const messages: (readonly [DescMessage, DescMessage])[] = [];
  const missing: DescMessage[] = [];
  const types = [...comparison.from].filter((type) =>
    (type.kind === "message" || type.kind === "enum") && !isLibraryType(type)
  ) as (DescMessage | DescEnum)[];
  for (const type of types) {
    if (type.kind !== "message") continue;
    const names = [...likelyNames(comparison, type, packages)];
    const found = names.map((name) => comparison.to.getMessage(name)).find((m) => m !== undefined);
    if (found === undefined) {
      missing.push(type);
      continue;
    }
    comparison.pair(type.typeName, found.typeName);
    messages.push([type, found]);
  }
  pairByShape(comparison, missing, messages);
  const enums = types.flatMap((type) => {
    if (type.kind !== "enum") return [];
    const names = [...likelyNames(comparison, type, packages)];
    const found = names.map((name) => comparison.to.getEnum(name)).find((e) => e !== undefined);
    if (found === undefined) return [];
    comparison.pair(type.typeName, found.typeName);
    return [[type, found] as const];
  });
  return { messages, enums };
}

/** The fields of a message by number and by name. */
interface Fields {
  readonly by_number: ReadonlyMap<number, DescField>;
  readonly by_name: ReadonlyMap<string, DescField>;
}

function fieldsOf(message: DescMessage): Fields {
  return {
    by_number: new Map(message.fields.map((field) => [field.number, field])),
    by_name: new Map(message.fields.map((field) => [field.name, field])),
  };
}

const isRequired = (field: DescField) => field.presence === Presence.LEGACY_REQUIRED;

function reportRemoved(
  comparison: Comparison,
  field: DescField,
  to: DescMessage,
  reserved: Reservations,
): void {
  const place = typePlace(to, field.name);
  if (isRequired(field)) {
    const detail = "was required and is gone; the older version refuses data without it";
    comparison.report("error", "required-field-removed", place, detail);
  }
  if (field.oneof !== undefined) {
    const detail = `is gone from oneof ${field.oneof.name}, which reads as empty where it was set`;
    comparison.report("warning", "oneof-member-removed", place, detail);
  }
  if (!reservesNumber(reserved, field.number)) {
    const detail = `is gone and its number ${field.number} is not reserved`;
    comparison.report("error", "field-removed", place, detail);
  } else if (!reserved.names.has(field.name)) {
    const detail = "is gone and its name is not reserved, which JSON goes by";
    comparison.report("warning", "field-removed", place, detail);
  }
}

function reportMoved(
  comparison: Comparison,
  from: DescField,
  to: DescField,
  reserved: Reservations,
): void {
  const safe = reservesNumber(reserved, from.number);
  const detail = `had the number ${from.number}, has ${to.number}` +
    (safe ? "; readers do not see each other's values" : `, and ${from.number} is not reserved`);
  comparison.report(safe ? "warning" : "error", "field-number-changed", fieldPlace(to), detail);
}

/** Reports one number under another name: a new name, or another field in its place. */
function compareNames(
  comparison: Comparison,
  from: DescField,
  to: DescField,
  was: Fields,
  is: Fields,
): void {
  if (from.name === to.name) return;
  if (was.by_name.has(to.name) || is.by_name.has(from.name)) {
    const detail = `has the number ${to.number}, which was field ${from.name}'s; both names are ` +
      `older than this change, so data would go from one field to the other`;
    comparison.report("error", "field-number-reused", fieldPlace(to), detail);
    return;
  }
  const detail = `field ${to.number} was named ${from.name}`;
  comparison.report("warning", "field-renamed", fieldPlace(to), detail);
}

function compareOldFields(
  comparison: Comparison,
  from: DescMessage,
  to: DescMessage,
  was: Fields,
  is: Fields,
): void {
  const reserved = reservationsOf(to);
  for (const field of from.fields) {
    const counterpart = is.by_number.get(field.number);
    if (counterpart !== undefined) {
      compareNames(comparison, field, counterpart, was, is);
      const place = fieldPlace(counterpart);
      compareField({ comparison, from: field, to: counterpart, place });
      continue;
    }
    const moved = is.by_name.get(field.name);
    if (moved === undefined) reportRemoved(comparison, field, to, reserved);
    else reportMoved(comparison, field, moved, reserved);
  }
}

function compareNewFields(
  comparison: Comparison,
  from: DescMessage,
  to: DescMessage,
  was: Fields,
): void {
  const offered = mergeRanges(from.proto.extensionRange);
  for (const field of to.fields) {
    if (was.by_number.has(field.number)) continue;
    if (isRequired(field)) {
      const detail = "is new and required; data of the older version lacks it";
      comparison.report("error", "required-field-added", fieldPlace(field), detail);
    }
    if (inRanges(offered, field.number)) {
      const detail = `has the number ${field.number}, which was left to extensions`;
      comparison.report("error", "extension-range-reused", fieldPlace(field), detail);
    }
  }
}

function compareExtensionRanges(comparison: Comparison, from: DescMessage, to: DescMessage): void {
  const used = to.fields.map(({ number }) => ({ start: number, end: number + 1 }));
  const kept = mergeRanges([...to.proto.extensionRange, ...used]);
  const gone = subtractRanges(mergeRanges(from.proto.extensionRange), kept);
  if (gone.length === 0) return;
  const open = subtractRanges(gone, reservationsOf(to).numbers);
  const severity = open.length === 0 ? "warning" : "error";
  const detail = `the numbers ${formatRanges(gone)} are no longer left to extensions` +
    (open.length === 0 ? "" : " and not reserved");
  comparison.report(severity, "extension-range-removed", typePlace(to), detail);
}

/** Compares two versions of a message and reports. */
function compareMessages(comparison: Comparison, from: DescMessage, to: DescMessage): void {
  const was = fieldsOf(from);
  const is = fieldsOf(to);
  compareOldFields(comparison, from, to, was, is);
  compareNewFields(comparison, from, to, was);
  compareReservations(comparison, from, to, to.fields);
  compareExtensionRanges(comparison, from, to);
  compareOneofs(comparison, from, to, { from: was.by_number, to: is.by_number });
  const isSet = ({ proto }: DescMessage) => proto.options?.messageSetWireFormat === true;
  if (isSet(from) !== isSet(to)) {
    const detail = "changed to or from the MessageSet wire format";
    comparison.report("error", "message-set-changed", typePlace(to), detail);
  }
  compareValidationRules(comparison, from.proto, to.proto, typePlace(to));
}

// A reader keeps one member of a oneof, the last on the wire: data with two of them loses one.

/** Fields by number, on both sides. */
interface Sides {
  readonly from: ReadonlyMap<number, DescField>;
  readonly to: ReadonlyMap<number, DescField>;
}

/** The members of a oneof that the other side has too, by number. */
function sharedMembers(oneof: DescOneof, other: ReadonlyMap<number, DescField>): number[] {
  return oneof.fields.flatMap(({ number }) => other.has(number) ? [number] : []);
}

/** Old oneofs with a new name: the shared members are the same. */
function renamedOneofs(from: DescMessage, to: DescMessage, sides: Sides): Map<string, string> {
  const names = new Map<string, string>();
  for (const oneof of from.oneofs) {
    if (to.oneofs.some(({ name }) => name === oneof.name)) continue;
    const members = sharedMembers(oneof, sides.to);
    const target = sides.to.get(members[0] ?? 0)?.oneof;
    if (target === undefined || from.oneofs.some(({ name }) => name === target.name)) continue;
    const others = sharedMembers(target, sides.from);
    if (others.length !== members.length || !members.every((n) => others.includes(n))) continue;
    names.set(oneof.name, target.name);
  }
  return names;
}

/** How a reader with `field` in a oneof reads data of a writer without that. */
function readOneof(
  field: DescField,
  read: ReadonlyMap<number, DescField>,
  written: ReadonlyMap<number, DescField>,
): Reading {
  const own = written.get(field.number)?.oneof;
  const rivals = (read.get(field.number)?.oneof?.fields ?? []).filter(({ number }) => {
    const rival = written.get(number);
    if (number === field.number || rival === undefined) return false;
    return own === undefined || rival.oneof !== own;
  });
  if (rivals.length === 0) return { ok: true };
  const names = rivals.slice(0, 5).map(({ name }) => name).join(", ");
  return { ok: false, note: `keeps only one where data has ${field.name} besides ${names}` };
}

const nameOf = (oneof: DescOneof | undefined) =>
  oneof === undefined ? "in no oneof" : `in oneof ${oneof.name}`;

/** Reports the fields whose oneof changed: errors if a reader loses one of two values. */
function compareOneofs(
  comparison: Comparison,
  from: DescMessage,
  to: DescMessage,
  sides: Sides,
): void {
  const renamed = renamedOneofs(from, to, sides);
  for (const [old_name, name] of renamed) {
    const detail = `oneof ${old_name} is now ${name}, with the same members`;
    comparison.report("warning", "oneof-renamed", typePlace(to, name), detail);
  }
  for (const field of from.fields) {
    const counterpart = sides.to.get(field.number);
    if (counterpart === undefined) continue;
    const was = field.oneof === undefined ? undefined : renamed.get(field.oneof.name);
    if ((was ?? field.oneof?.name) === counterpart.oneof?.name) continue;
    const change = `was ${nameOf(field.oneof)}, is ${nameOf(counterpart.oneof)}`;
    const backward = readOneof(counterpart, sides.to, sides.from);
    const forward = readOneof(field, sides.from, sides.to);
    const noted = (reading: Reading): Reading =>
      reading.ok ? { ok: true, note: "keeps every value; programs see another form" } : reading;
    const place = fieldPlace(counterpart);
    comparison.reportReadings("oneof-changed", place, change, noted(backward), noted(forward));
  }
}
