/** Small Protobuf schemas written as descriptors in JSON, with protovalidate rules: for benchmarks. */
import { gzipSync } from "node:zlib";
import { create, createRegistry, fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import {
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_timestamp,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

/** More members of a descriptor. */
export type More = Record<string, JsonValue>;

/** The files that the file of the rules imports, then that file. */
const IMPORTS = [
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_timestamp,
  file_buf_validate_validate,
].map(({ proto }) => proto);

/** A field: `type` is a scalar (`int32`) or a message (`.bench.M`). */
export function field(name: string, number: number, type: string, more: More = {}): JsonValue {
  const kind: More = type.startsWith(".")
    ? { type: "TYPE_MESSAGE", typeName: type }
    : { type: `TYPE_${type.toUpperCase()}` };
  const jsonName = name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return { name, jsonName, number, label: "LABEL_OPTIONAL", ...kind, ...more };
}

/** A repeated field: `type` as in `field`. */
export function list(name: string, number: number, type: string, more: More = {}): JsonValue {
  return field(name, number, type, { label: "LABEL_REPEATED", ...more });
}

/** A proto3 file of package `bench` with these messages, and all files that it imports. */
export function descriptorSet(messages: readonly JsonValue[]): FileDescriptorSet {
  const file: FileDescriptorProto = fromJson(
    FileDescriptorProtoSchema,
    {
      name: "bench.proto",
      package: "bench",
      syntax: "proto3",
      dependency: [file_buf_validate_validate.proto.name],
      messageType: [...messages],
    },
    { registry: createRegistry(file_buf_validate_validate) },
  );
  return create(FileDescriptorSetSchema, { file: [...IMPORTS, file] });
}

/** The set as a client registers it. */
export function gzipped(set: FileDescriptorSet): Uint8Array<ArrayBuffer> {
  return new Uint8Array(gzipSync(toBinary(FileDescriptorSetSchema, set)));
}
