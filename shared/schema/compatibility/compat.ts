/**
 * Decides whether a new version of a Protobuf schema is compatible with the old ones. Pure: two descriptor sets and a
 * mode in, findings out. docs/compatibility.md#all-rules lists the rules; the registry stores and refuses versions.
 */
import type { CompatibilityMode } from "../../schema_id.ts";
import { createFileRegistry } from "@bufbuild/protobuf";
import type {
  DescEnum,
  DescExtension,
  DescFile,
  DescMessage,
  FileRegistry,
} from "@bufbuild/protobuf";
import { Edition, type FileDescriptorSet } from "@bufbuild/protobuf/wkt";
import { Comparison, isLibraryType, reportKind, typePlace } from "./compat_comparison.ts";
import { compareField, compareMessages } from "./compat_messages.ts";
import { type Finding, FindingCollector, isTransitive, sortFindings } from "./findings.ts";
import {
  compareReservations,
  formatNames,
  reservationsOf,
  reservesNumber,
} from "./compat_reserved.ts";
import type { Reservations } from "./compat_reserved.ts";

/** A schema to compare: complete and ordered, as `readDescriptorSet` returns it, linked or not. */
type SchemaSource = FileDescriptorSet | FileRegistry;

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
  const old_set = new Set(old_names);
  const new_set = new Set(names);
  const lost = old_names.filter((name) => !new_set.has(name));
  const came = names.filter((name) => !old_set.has(name));
  const [first = ""] = names;
  const foreign = came.find((name) => was.numbers.has(name));
  const left = lost.find((name) => is.numbers.has(name));
  if (foreign !== undefined || left !== undefined) {
    const name = foreign ?? first;
    const detail =
      `the number ${number} was ${formatNames(old_names)}, is ${formatNames(names)}; ` +
      `${foreign ?? left} had or has another number, so values change their meaning`;
    comparison.report("error", "enum-value-reused", typePlace(to, name), detail);
  } else if (lost.length === old_names.length) {
    const detail = `the value ${number} was named ${formatNames(lost)}; JSON goes by the name`;
    comparison.report("warning", "enum-value-renamed", typePlace(to, first), detail);
  } else if (lost.length > 0) {
    const detail = `the value ${number} is no longer named ${
      formatNames(lost)
    } too; JSON goes by it`;
    comparison.report("warning", "enum-alias-removed", typePlace(to, first), detail);
  }
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
function compareEnums(comparison: Comparison, from: DescEnum, to: DescEnum): void {
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
  reportKind(comparison, typePlace(to), from.open, to.open);
  compareFirst(comparison, from, to);
}
