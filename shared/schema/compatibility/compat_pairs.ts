/**
 * Which types of two schemas are versions of each other: by full name, by a package that its file changed, by the outer
 * message, or, for messages, by shape. Reports types without a counterpart.
 */
import type { DescEnum, DescFile, DescMessage } from "@bufbuild/protobuf";
import { Edition } from "@bufbuild/protobuf/wkt";
import { type Comparison, isLibraryType, typePlace } from "./compat_comparison.ts";

/** Types of the older schema with their newer versions. */
export interface Pairs {
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
export function pairTypes(comparison: Comparison): Pairs {
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
