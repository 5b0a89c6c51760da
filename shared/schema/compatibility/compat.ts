/**
 * Decides whether a new version of a Protobuf schema is compatible with the old ones. Pure: two descriptor sets and a
 * mode in, findings out. docs/compatibility.md#all-rules lists the rules; the registry stores and refuses versions.
 */
import type { CompatibilityMode } from "../../schema_id.ts";
import { createFileRegistry, type DescExtension, type FileRegistry } from "@bufbuild/protobuf";
import type { FileDescriptorSet } from "@bufbuild/protobuf/wkt";
import { Comparison, isLibraryType, typePlace } from "./compat_comparison.ts";
import { compareEnums } from "./compat_enums.ts";
import { compareField } from "./compat_fields.ts";
import { compareMessages } from "./compat_messages.ts";
import { pairTypes } from "./compat_pairs.ts";
import { type Finding, FindingCollector, isTransitive, sortFindings } from "./findings.ts";

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
