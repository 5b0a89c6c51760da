/**
 * One schema for comparisons with other readers of Protobuf: `t.All` of proto3, `t2.Node` of proto2, and `t3.Known`
 * with types that have a special JSON form. Not part of the Shield.
 */
import {
  create,
  createFileRegistry,
  type FileRegistry,
  fromJson,
  type JsonValue,
  toJson,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { field, list, proto2, proto3, registryOf } from "./messages.ts";

const KNOWN: readonly (readonly [name: string, type: string])[] = [
  ["duration", "Duration"],
  ["timestamp", "Timestamp"],
  ["mask", "FieldMask"],
  ["any", "Any"],
  ["struct", "Struct"],
  ["value", "Value"],
  ["items", "ListValue"],
  ["double", "DoubleValue"],
  ["float", "FloatValue"],
  ["int64", "Int64Value"],
  ["uint64", "UInt64Value"],
  ["int32", "Int32Value"],
  ["bytes", "BytesValue"],
];

/** The file `t.proto` of a registry, under another name and in another package. */
function renamed(registry: FileRegistry, to: string) {
  const file = registry.getFile("t.proto") ?? registry.getFile("t");
  if (file === undefined) throw new TypeError("the registry has no t.proto");
  const text = JSON.stringify(toJson(FileDescriptorProtoSchema, file.proto))
    .replaceAll('".t.', `".${to}.`)
    .replace('"package":"t"', `"package":"${to}"`)
    .replace('"name":"t.proto"', `"name":"${to}.proto"`);
  return fromJson(FileDescriptorProtoSchema, JSON.parse(text) as JsonValue);
}

/** The whole schema, without protovalidate. */
export function readersSchema(): FileRegistry {
  const known = registryOf({
    syntax: "proto3",
    messageType: [{
      name: "Known",
      field: KNOWN.flatMap(([name, type], at) => [
        field(name, at + 1, `.google.protobuf.${type}`),
        list(`many_${name}`, at + 101, `.google.protobuf.${type}`),
      ]),
    }],
  });
  const all = proto3();
  const library = Array.from(all.files, ({ proto }) => proto)
    .filter(({ name }) => name.startsWith("google/"));
  const files = [renamed(all, "t"), renamed(proto2(), "t2"), renamed(known, "t3")];
  for (const file of files) {
    file.dependency = file.dependency.filter((name) => name.startsWith("google/"));
  }
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [...library, ...files] }));
}
