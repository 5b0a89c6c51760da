/**
 * Jobs on whole descriptor sets: reading, comparing, cutting out messages, trying data. Pure functions of bytes, so
 * that small sets are handled on the message thread and others in a worker (`set_work.ts`).
 */
import type { CompatibilityMode } from "../../../shared/schema_id.ts";
import { gzipSync } from "node:zlib";
import { checkHistory } from "../../../shared/schema/compatibility/compat.ts";
import {
  DESCRIPTOR_LIMITS,
  readDescriptorSet,
  readUnpackedSet,
  unpackSet,
} from "../../../shared/schema/descriptors/descriptor_set.ts";
import type { DescriptorSet } from "../../../shared/schema/descriptors/descriptor_set.ts";
import { scanDescriptorSet } from "../../../shared/schema/descriptors/descriptor_scan.ts";
import type { Finding } from "../../../shared/schema/compatibility/findings.ts";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import { findShared, isShared } from "../../../shared/schema/descriptors/shared_files.ts";
import { sha256Of } from "./store.ts";
import { extensionsOf } from "../validation/validate_table.ts";
import { compileMessage } from "../validation/message_schema.ts";
import type { UnknownFields, Validation } from "../validation/message_schema.ts";
import { clone, create, toBinary } from "@bufbuild/protobuf";
import type { DescEnum, DescExtension, DescField, DescMessage } from "@bufbuild/protobuf";
import {
  DescriptorProtoSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import type { DescriptorProto, FileDescriptorProto } from "@bufbuild/protobuf/wkt";

/** The name of a version without a number in findings. */
export const CANDIDATE = "candidate";

/** A message, cut out of its set and compiled once, or why it cannot be used. */
export type CutMessage = { readonly gzipped: Uint8Array } | { readonly problem: string };

/** The jobs; `gzipped` is a gzipped descriptor set. Each throws `SchemaError`. */
export interface SetJobs {
  /** Reads a set. Returns its unpacked bytes, and which of these messages it lacks. */
  read(
    gzipped: Uint8Array,
    type_names: readonly string[],
  ): { readonly unpacked_sha256: string; readonly missing: readonly string[] };
  compare(
    candidate: Uint8Array,
    earlier: Uint8Array,
    version: string,
    mode: CompatibilityMode,
  ): { readonly findings: readonly Finding[] } | { readonly stored_problem: string };
  /** Cuts out each message with what it needs of the set, of at most `parts_max` parts. */
  cut(
    gzipped: Uint8Array,
    type_names: readonly string[],
    parts_max: number,
  ): Record<string, CutMessage>;
  validate(
    gzipped: Uint8Array,
    type_name: string,
    data: Uint8Array,
    options: { readonly unknown_fields: UnknownFields; readonly is_json: boolean },
  ): Validation;
}

/**
 * The parts of an unpacked set that take memory, without files that all sets in this process share. Throws
 * `SchemaError` above `elements`, in which those files count.
 */
export function partsOf(unpacked: Uint8Array, elements: number): number {
  return scanDescriptorSet(unpacked, { ...DESCRIPTOR_LIMITS, elements })
    .filter(({ bytes }) => findShared(bytes) === undefined)
    .reduce((sum, file) => sum + file.elements, 0);
}

function cutOne(set: DescriptorSet, type_name: string, parts_max: number): CutMessage {
  try {
    const desc = set.registry.getMessage(type_name);
    // The call throws the error.
    if (desc === undefined) compileMessage(set.registry, type_name);
    const unpacked = pruneTo(set, desc!);
    const parts = partsOf(unpacked, DESCRIPTOR_LIMITS.elements);
    if (parts > parts_max) {
      const why = `${type_name} needs ${parts} parts of its schema; at most ${parts_max}`;
      return { problem: `${why} (platform.registry.message_parts)` };
    }
    compileMessage(readUnpackedSet(unpacked).registry, type_name);
    return { gzipped: gzipSync(unpacked) };
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    return { problem: error.message };
  }
}

/** Makes the jobs. The last set is cached, since the next job is often about it. */
export function createSetJobs(): SetJobs {
  let last: { readonly sha256: string; readonly set: DescriptorSet } | undefined;
  const read = (gzipped: Uint8Array): DescriptorSet => {
    const sha256 = sha256Of(gzipped);
    if (last?.sha256 !== sha256) last = { sha256, set: readDescriptorSet(gzipped) };
    return last.set;
  };
  return {
    read(gzipped, type_names) {
      const { registry } = read(gzipped);
      const missing = type_names.filter((name) => registry.getMessage(name) === undefined);
      return { unpacked_sha256: sha256Of(unpackSet(gzipped)), missing };
    },
    compare(candidate, earlier, version, mode) {
      const to = read(candidate).registry;
      let from: DescriptorSet;
      try {
        from = readDescriptorSet(earlier);
      } catch (error) {
        if (!(error instanceof SchemaError)) throw error;
        return { stored_problem: error.message };
      }
      const versions = [{ version, schema: from.registry }];
      return { findings: checkHistory(versions, { version: CANDIDATE, schema: to }, mode) };
    },
    cut(gzipped, type_names, parts_max) {
      const set = read(gzipped);
      return Object.fromEntries(type_names.map((name) => [name, cutOne(set, name, parts_max)]));
    },
    validate(gzipped, type_name, data, { unknown_fields, is_json }) {
      const message = compileMessage(read(gzipped).registry, type_name);
      const options = { unknown_fields };
      return is_json ? message.validateJson(data, options) : message.validate(data, options);
    },
  };
}

// A set is cut down to the types that one message reaches, so that the message thread compiles only mapped messages,
// for any size of the set.

/** The type whose JSON names types as text, so that any type of the set may be needed. */
const ANY = "google.protobuf.Any";

/** The kept parts: the full names of messages, enums and extensions, and their files. */
interface Kept {
  readonly names: Set<string>;
  readonly files: Set<string>;
}

/** The parts that a message reaches; undefined if it may need all of them. */
function reachedBy(root: DescMessage, set: DescriptorSet): Kept | undefined {
  const extensions = extensionsOf(set.registry);
  const kept: Kept = { names: new Set(), files: new Set() };
  const waiting: DescMessage[] = [];
  const keep = (type: DescMessage | DescEnum | DescExtension) => {
    if (kept.names.has(type.typeName)) return;
    kept.names.add(type.typeName);
    kept.files.add(type.file.proto.name);
    if (type.kind === "message") waiting.push(type);
  };
  const follow = (field: DescField | DescExtension) => {
    if (field.message !== undefined) keep(field.message);
    if (field.enum !== undefined) keep(field.enum);
  };
  keep(root);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.typeName === ANY) return undefined;
    next.fields.forEach(follow);
    for (const extension of extensions.get(next.typeName) ?? []) {
      keep(extension);
      follow(extension);
    }
  }
  return kept;
}

const nameIn = (scope: string, name: string) => scope === "" ? name : `${scope}.${name}`;

/** A message with only its kept parts; undefined if nothing is kept. */
function cutMessage(
  proto: DescriptorProto,
  scope: string,
  { names }: Kept,
): DescriptorProto | undefined {
  const name = nameIn(scope, proto.name);
  const is_kept = names.has(name);
  const nestedType = proto.nestedType.flatMap((nested) => {
    if (is_kept && nested.options?.mapEntry === true) return [nested];
    return cutMessage(nested, name, { names, files: new Set() }) ?? [];
  });
  const enumType = proto.enumType.filter((one) => names.has(nameIn(name, one.name)));
  const extension = proto.extension.filter((one) => names.has(nameIn(name, one.name)));
  if (!is_kept) {
    const is_empty = nestedType.length + enumType.length + extension.length === 0;
    if (is_empty) return undefined;
    return create(DescriptorProtoSchema, { name: proto.name, nestedType, enumType, extension });
  }
  // This is a copy, as others use the original; nested parts are replaced, so they need no copy.
  const bare = { ...proto, nestedType: [], enumType: [], extension: [] };
  return { ...clone(DescriptorProtoSchema, bare), nestedType, enumType, extension };
}

/** The imports of a kept file: files with types that it names, and the shared ones. */
function importsOf(file: FileDescriptorProto, kept: Kept, all: DescriptorSet): string[] {
  const needed = new Set<string>();
  const desc = all.registry.getFile(file.name);
  const note = (one: DescField | DescExtension) => {
    const type = one.message ?? one.enum;
    if (type !== undefined) needed.add(type.file.proto.name);
  };
  const look = (message: DescMessage) => {
    if (kept.names.has(message.typeName)) message.fields.forEach(note);
    message.nestedMessages.forEach(look);
    message.nestedExtensions.forEach(extend);
  };
  const extend = (one: DescExtension) => {
    if (!kept.names.has(one.typeName)) return;
    needed.add(one.extendee.file.proto.name);
    note(one);
  };
  desc?.messages.forEach(look);
  desc?.extensions.forEach(extend);
  const shared = new Set(all.set.file.filter(isShared).map(({ name }) => name));
  for (const name of file.dependency) if (shared.has(name)) needed.add(name);
  needed.delete(file.name);
  return [...needed];
}

/**
 * The encoded set with the parts that the message needs; the whole set if it may need all. The set must have the
 * message.
 */
function pruneTo(all: DescriptorSet, root: DescMessage): Uint8Array {
  const kept = reachedBy(root, all);
  if (kept === undefined) return toBinary(FileDescriptorSetSchema, all.set);
  const file = all.set.file.flatMap((proto): FileDescriptorProto[] => {
    if (isShared(proto)) return [proto];
    if (!kept.files.has(proto.name)) return [];
    const scope = proto.package;
    const { name, syntax, edition, options } = proto;
    return [create(FileDescriptorProtoSchema, {
      name,
      package: scope,
      syntax,
      edition,
      ...(options === undefined ? {} : { options }),
      dependency: importsOf(proto, kept, all),
      messageType: proto.messageType.flatMap((one) => cutMessage(one, scope, kept) ?? []),
      enumType: proto.enumType.filter((one) => kept.names.has(nameIn(scope, one.name))),
      extension: proto.extension.filter((one) => kept.names.has(nameIn(scope, one.name))),
    })];
  });
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }));
}
