/**
 * Schemas for tests, written as descriptors in JSON: one of every kind of field in proto3, proto2 with
 * required fields and groups, editions, and rules.
 */
import { gzipSync } from "node:zlib";
import {
  create,
  createFileRegistry,
  createRegistry,
  type FileRegistry,
  fromJson,
  type JsonValue,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import {
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

const OF_RULES = [
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_timestamp,
  file_google_protobuf_field_mask,
  file_buf_validate_validate,
];
const WELL_KNOWN = [
  ...OF_RULES,
  file_google_protobuf_any,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
];

/** Further members of a descriptor. */
export type More = Record<string, JsonValue>;

/** A field: `type` is a scalar ("int32") or a message or enum (".t.M", with `more.type`). */
export function field(name: string, number: number, type: string, more: More = {}): JsonValue {
  const kind: More = type.startsWith(".")
    ? { type: "TYPE_MESSAGE", typeName: type }
    : { type: `TYPE_${type.toUpperCase()}` };
  const jsonName = name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return { name, jsonName, number, label: "LABEL_OPTIONAL", ...kind, ...more };
}

/** A repeated field; `type` is as in `field`. */
export function list(name: string, number: number, type: string, more: More = {}): JsonValue {
  return field(name, number, type, { label: "LABEL_REPEATED", ...more });
}

/** Protovalidate rules of a field. */
export function rules(rules: JsonValue): More {
  return { options: { "[buf.validate.field]": rules } };
}

function setOf(file: More, known: typeof WELL_KNOWN, options?: Registry): FileDescriptorSet {
  const proto = fromJson(
    FileDescriptorProtoSchema,
    { dependency: known.map(({ proto }) => proto.name), ...file },
    { registry: createRegistry(file_buf_validate_validate, ...options ?? []) },
  );
  return create(FileDescriptorSetSchema, { file: [...known.map(({ proto }) => proto), proto] });
}

/** A proto3 file of package `bench` with these messages and its imports, as a client registers it. */
export function gzippedSet(messages: readonly JsonValue[]): Uint8Array<ArrayBuffer> {
  const about = { name: "bench.proto", package: "bench", syntax: "proto3" };
  const set = setOf({ ...about, messageType: [...messages] }, OF_RULES);
  return new Uint8Array(gzipSync(toBinary(FileDescriptorSetSchema, set)));
}

/**
 * A registry of one file `t.proto`, package `t`, in JSON, and of its imports. `options` has the extensions in its
 * options, in addition to those of protovalidate.
 */
export function registryOf(file: More, options?: Registry): FileRegistry {
  return createFileRegistry(setOf({ name: "t.proto", package: "t", ...file }, WELL_KNOWN, options));
}

/** A registry of one proto3 message `t.M` with these fields. */
export function withFields(...fields: JsonValue[]): FileRegistry {
  return registryOf({ syntax: "proto3", messageType: [{ name: "M", field: fields }] });
}

/** The map field `name` and its entry, as a compiler writes them: `[field, entry]`. */
export function map(
  name: string,
  number: number,
  key: string,
  value: JsonValue,
): [JsonValue, JsonValue] {
  const entry = `${name[0]!.toUpperCase()}${name.slice(1)}Entry`;
  return [
    list(name, number, `.t.All.${entry}`),
    { name: entry, options: { mapEntry: true }, field: [field("key", 1, key), value] },
  ];
}

/** The scalar types of Protobuf. */
export const SCALARS = [
  "double",
  "float",
  "int64",
  "uint64",
  "int32",
  "fixed64",
  "fixed32",
  "bool",
  "string",
  "bytes",
  "uint32",
  "sfixed32",
  "sfixed64",
  "sint32",
  "sint64",
];

/** A proto3 message: every scalar singular and repeated, enum, oneof, maps, and itself. */
export function proto3(): FileRegistry {
  const [labels, labels_entry] = map("labels", 60, "string", field("value", 2, "int32"));
  const [children, children_entry] = map("children", 61, "sint64", field("value", 2, ".t.All"));
  return registryOf({
    syntax: "proto3",
    enumType: [{ name: "Color", value: [{ name: "RED", number: 0 }, { name: "BLUE", number: 2 }] }],
    messageType: [{
      name: "All",
      field: [
        ...SCALARS.map((type, index) => field(`one_${type}`, 1 + index, type)),
        ...SCALARS.map((type, index) => list(`many_${type}`, 21 + index, type)),
        field("color", 41, ".t.Color", { type: "TYPE_ENUM" }),
        list("colors", 42, ".t.Color", { type: "TYPE_ENUM" }),
        field("self", 43, ".t.All"),
        list("selves", 44, ".t.All"),
        field("either", 45, "string", { oneofIndex: 0 }),
        field("other", 46, ".t.All", { oneofIndex: 0 }),
        field("far", 5000, "int32"),
        field("when", 50, ".google.protobuf.Timestamp"),
        field("anything", 51, ".google.protobuf.Value"),
        labels,
        children,
      ],
      nestedType: [labels_entry, children_entry],
      oneofDecl: [{ name: "choice" }],
    }],
  });
}

/** A proto2 message: required fields at two levels, groups, a closed enum, an extension. */
export function proto2(label = "LABEL_REQUIRED"): FileRegistry {
  const required = { label };
  return registryOf({
    syntax: "proto2",
    enumType: [{ name: "Mode", value: [{ name: "ON", number: 1 }, { name: "OFF", number: 2 }] }],
    messageType: [
      { name: "Leaf", field: [field("id", 1, "string", required), field("note", 2, "string")] },
      {
        name: "Node",
        field: [
          field("leaf", 1, ".t.Leaf", required),
          field("version", 2, "int32", required),
          list("leaves", 3, ".t.Leaf"),
          field("mode", 4, ".t.Mode", { type: "TYPE_ENUM" }),
          list("modes", 5, ".t.Mode", { type: "TYPE_ENUM" }),
          list("item", 6, ".t.Node.Item", { type: "TYPE_GROUP" }),
          list("numbers", 7, "int32"),
          list("packed", 8, "int32", { options: { packed: true } }),
        ],
        nestedType: [{
          name: "Item",
          field: [field("name", 1, "string", required), field("count", 2, "int32")],
        }],
        extensionRange: [{ start: 100, end: 1000 }],
      },
      { name: "Loose", field: [field("inner", 1, ".t.Loose"), list("texts", 2, "string")] },
    ],
    extension: [field("extra", 100, ".t.Leaf", { extendee: ".t.Node" })],
  });
}

/** A message of edition 2023 with features that differ from the edition's defaults. */
export function editions(): FileRegistry {
  const feature = (features: JsonValue): More => ({ options: { features } });
  return registryOf({
    syntax: "editions",
    edition: "EDITION_2023",
    messageType: [{
      name: "Inner",
      field: [field("must", 1, "string", feature({ fieldPresence: "LEGACY_REQUIRED" }))],
    }, {
      name: "Edition",
      field: [
        field("checked", 1, "string"),
        field("raw", 2, "string", feature({ utf8Validation: "NONE" })),
        field("inner", 3, ".t.Inner"),
        list("groups", 4, ".t.Inner", feature({ messageEncoding: "DELIMITED" })),
      ],
    }],
  });
}
