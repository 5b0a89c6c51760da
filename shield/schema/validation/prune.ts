/**
 * Cuts a descriptor set down to the needs of one message: the types that it reaches, with their extensions, and the
 * files of every Protobuf compiler. So the message thread compiles only mapped messages, for any size of the set. Pure;
 * runs in a worker.
 */
import { clone, create, toBinary } from "@bufbuild/protobuf";
import type { DescEnum, DescExtension, DescField, DescMessage } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import type { DescriptorSet } from "../../../shared/schema/descriptors/descriptor_set.ts";
import { isShared } from "../../../shared/schema/descriptors/shared_files.ts";

/** The type whose JSON names types as text, so that any type of the set may be needed. */
const ANY = "google.protobuf.Any";

/** The kept parts: the full names of messages, enums and extensions, and their files. */
interface Kept {
  readonly names: Set<string>;
  readonly files: Set<string>;
}

function extensionsOf({ registry }: DescriptorSet): Map<string, DescExtension[]> {
  const found = new Map<string, DescExtension[]>();
  for (const type of registry) {
    if (type.kind !== "extension") continue;
    const known = found.get(type.extendee.typeName);
    if (known === undefined) found.set(type.extendee.typeName, [type]);
    else known.push(type);
  }
  return found;
}

/** The parts that a message reaches; undefined if it may need all of them. */
function reachedBy(root: DescMessage, set: DescriptorSet): Kept | undefined {
  const extensions = extensionsOf(set);
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
export function pruneTo(all: DescriptorSet, root: DescMessage): Uint8Array {
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
