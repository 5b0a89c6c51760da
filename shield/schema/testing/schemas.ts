/** Small schemas as uploads, for tests of registry, gate and admin API. Tests only. */
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { field, list, type More, registryOf, rules } from "./messages.ts";

/** A file of package `t` as a client uploads it: gzipped, with its imports. */
export function upload(file: More): Uint8Array<ArrayBuffer> {
  const files = [...registryOf(file).files].map(({ proto }) => proto);
  const set = create(FileDescriptorSetSchema, { file: files });
  return new Uint8Array(gzipSync(toBinary(FileDescriptorSetSchema, set)));
}

const REQUIRED = { label: "LABEL_REQUIRED" };

/** The message `t.Ping` with a required `n` and `more` fields, as an upload. */
export function ping(...more: Parameters<typeof field>[]): Uint8Array<ArrayBuffer> {
  return upload({
    syntax: "proto2",
    messageType: [{
      name: "Ping",
      field: [
        field("n", 1, "int32", REQUIRED),
        field("text", 2, "string"),
        list("inner", 3, ".t.Inner"),
        ...more.map((one) => field(...one)),
      ],
    }, { name: "Inner", field: [field("id", 1, "int32", REQUIRED)] }],
  });
}

/** The message `t.Ping` with `n` as a string: data of the old version cannot be read. */
export function incompatiblePing(): Uint8Array<ArrayBuffer> {
  return upload({
    syntax: "proto2",
    messageType: [{
      name: "Ping",
      field: [
        field("n", 1, "string", REQUIRED),
        field("text", 2, "string"),
        list("inner", 3, ".t.Inner"),
      ],
    }, { name: "Inner", field: [field("id", 1, "int32", REQUIRED)] }],
  });
}

/** A schema without a message `t.Ping`. */
export function pong(): Uint8Array<ArrayBuffer> {
  return upload({
    syntax: "proto3",
    messageType: [{ name: "Pong", field: [field("n", 1, "int32")] }],
  });
}

/** The message `t.Ping` with a rule: `text` has at most 5 characters. */
export function ruledPing(): Uint8Array<ArrayBuffer> {
  return upload({
    syntax: "proto3",
    messageType: [{
      name: "Ping",
      field: [
        field("n", 1, "int32"),
        field("text", 2, "string", rules({ string: { maxLen: "5" } })),
      ],
    }],
  });
}

/** Valid data of `t.Ping`: n = 7, text = "hi". */
export const GOOD_PING = new Uint8Array([0x08, 7, 0x12, 2, 0x68, 0x69]);
/** Data of `t.Ping` without the required `n`. */
export const BAD_PING = new Uint8Array([0x12, 2, 0x68, 0x69]);
/** Data of `t.Ping` whose second `inner` lacks its `id`, and which lacks `n`: the first is the one named. */
export const DEEP_BAD_PING = new Uint8Array([0x08, 7, 0x1a, 2, 8, 1, 0x1a, 0]);
/** Valid data of `t.Ping` with field 99, which no schema has. */
export const UNKNOWN_PING = new Uint8Array([0x08, 7, 0x98, 6, 1]);
