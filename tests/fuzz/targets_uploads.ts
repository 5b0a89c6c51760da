/** Fuzz targets of admins' uploads: WebAssembly modules and Protobuf schemas, and data validated by one. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { create, fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import {
  readDescriptorSet,
  readUnpackedSet,
} from "../../shared/schema/descriptors/descriptor_set.ts";
import { SchemaError } from "../../shared/schema/schema_error.ts";
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { decodePolicy, meterModule } from "../../wasm/metering/meter.ts";
import { PolicyModuleError } from "../../wasm/module/errors.ts";
import { fromText } from "../../wasm/testing/bytes.ts";
import { compileMessage } from "../../shield/schema/validation/message_schema.ts";
import { field, map } from "../../shield/schema/testing/messages.ts";
import { ping, ruledPing } from "../../shield/schema/testing/schemas.ts";
import { type Target, utf8, wordsOf } from "./target.ts";

const POLICY = `(module
  (import "arqon_host_v1" "host_get_payload" (func $payload (result i32)))
  (import "arqon_host_v1" "host_reject" (func $reject (param i32 i32 i32)))
  (memory (export "memory") 1 4)
  (table 2 2 funcref)
  (elem (i32.const 0) $alloc $deep)
  (global $top (mut i32) (i32.const 1024))
  (data (i32.const 8) "blocked")
  (func $alloc (export "arqon_alloc") (param $size i32) (result i32) (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.add (global.get $top) (local.get $size)))
    (local.get $at))
  (func $deep (param $n i32) (result i32)
    (if (result i32) (i32.eqz (local.get $n)) (then (i32.const 0))
      (else (call $deep (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "arqon_on_message") (result i32) (local $at i32) (local $sum i64)
    (local.set $at (call $payload))
    (block $end
      (loop $next
        (br_if $end (i32.ge_u (local.get $at) (i32.const 2048)))
        (local.set $sum (i64.add (local.get $sum) (i64.load8_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_table $next $end (i32.wrap_i64 (local.get $sum)))))
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 16))
    (drop (memory.grow (i32.const 1)))
    (if (i32.and (i32.wrap_i64 (local.get $sum)) (i32.const 1))
      (then (call $reject (i32.const 403) (i32.const 8) (i32.const 7))))
    (call_indirect (param i32) (result i32) (i32.const 3) (i32.const 1))))`;

const OPCODES = [
  ...[[0x02, 0x40], [0x03, 0x40], [0x04, 0x40], [0x05], [0x0b], [0x0c, 0x00], [0x0e, 0x00, 0x00]],
  ...[[0x10, 0x00], [0x11, 0x00, 0x00], [0x1a], [0x1b], [0x20, 0x00], [0x40, 0x00], [0x41, 0x00]],
  ...[[0xfc, 0x08, 0x00, 0x00], [0xfc, 0x0b, 0x00], [0xfd, 0x0c], [0xfe, 0x00], [0x12, 0x00]],
  ...[[0x00, 0x08, 0x04, 0x6e, 0x61, 0x6d, 0x65], [0x7f], [0x7e], [0x70], [0x6f], [
    0x60,
    0x00,
    0x00,
  ]],
].map((bytes) => Uint8Array.from(bytes));

/** Policies: refused with a reason, or metered into a module that the engine accepts. */
export async function modules(): Promise<Target> {
  const folder = new URL("../../policies/build/", import.meta.url);
  const built = ["block_header", "bad_words_wat"].map((name) =>
    Deno.readFile(new URL(`${name}.wasm`, folder))
  );
  const seeds = [fromText(POLICY), ...await Promise.all(built)].filter(({ length }) =>
    length <= 8_192
  );
  const run = (bytes: Uint8Array) => {
    // Modules whose imports or exports make them no policy are metered, too: their code is still code.
    const metered = meterModule(decodePolicy(bytes), { memory_limit_pages: 64 });
    assert.ok(WebAssembly.validate(metered.bytes), "the metered module does not validate");
    assert.ok(WebAssembly.validate(bytes.slice()), "the engine refuses what was taken");
    meterPolicy(bytes, { memory_limit_pages: 64 });
  };
  const isRefusal = (error: unknown) => error instanceof PolicyModuleError;
  const words = [...OPCODES, ...wordsOf("arqon_host_v1", "memory", "arqon_alloc", "name")];
  return { name: "modules", weight: 2, seeds, words, bytes_max: 8_192, run, isRefusal };
}

/** A set of one file without imports: small, so that most mutations matter. */
function setOf(...messageType: JsonValue[]): Uint8Array {
  const enumType = [{ name: "Color", value: [{ name: "RED", number: 0 }] }];
  const json = { name: "t.proto", package: "t", syntax: "proto3", messageType, enumType };
  const file = [fromJson(FileDescriptorProtoSchema, json as JsonValue)];
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }));
}

function sets(): Uint8Array[] {
  const [labels, entry] = map("labels", 2, "string", field("value", 2, "int32"));
  const color = field("color", 3, ".t.Color", { type: "TYPE_ENUM" });
  const either = ["a", "b"].map((name, at) => field(name, 4 + at, "string", { oneofIndex: 0 }));
  const inner = { name: "Inner", field: [field("id", 1, "int64"), field("up", 2, ".t.All")] };
  return [
    setOf({ name: "Ping", field: [field("n", 1, "int32"), field("text", 2, "string")] }),
    setOf({
      name: "All",
      field: [field("self", 1, ".t.All"), labels!, color, ...either],
      oneofDecl: [{ name: "either" }],
      nestedType: [entry!],
      reservedRange: [{ start: 90, end: 99 }],
    }, inner),
  ];
}

const PROTO_WORDS = [
  ...wordsOf("proto2", "proto3", "editions", ".t.Ping", ".t.Inner", "google/protobuf/any.proto"),
  ...[[0x0a], [0x12, 0x00], [0x1a], [0x22], [0x28, 0x05], [0x0b], [0x0c], [0xfa, 0x3f], [
    0x42,
    0x00,
  ]]
    .map((bytes) => Uint8Array.from(bytes)),
];

/** Descriptor sets, unpacked and packed again, so that gzip does not detect all damage. */
export function descriptorSets(): Target {
  const seeds = sets();
  const run = (bytes: Uint8Array) => {
    const { registry } = readDescriptorSet(gzipSync(bytes, { level: 1 }));
    for (const type of registry) {
      if (type.kind !== "message") continue;
      const message = compileMessage(registry, type.typeName);
      message.validate(new Uint8Array([8, 1]), { unknown_fields: "allow" });
    }
  };
  const isRefusal = (error: unknown) => error instanceof SchemaError;
  return {
    name: "descriptor-sets",
    weight: 1,
    seeds,
    words: PROTO_WORDS,
    bytes_max: 4_096,
    run,
    isRefusal,
  };
}

/** Raw uploads: gzip, truncated, damaged, or something else. */
export function gzippedSets(): Target {
  const seeds = sets().map((one) => new Uint8Array(gzipSync(one)));
  const words = [Uint8Array.from([0x1f, 0x8b, 0x08]), new Uint8Array(8)];
  const run = (bytes: Uint8Array) => void readDescriptorSet(bytes);
  const isRefusal = (error: unknown) => error instanceof SchemaError;
  return { name: "gzipped-sets", weight: 1, seeds, words, bytes_max: 4_096, run, isRefusal };
}

/** Event data validated by schemas, binary and JSON: always a verdict, never an error. */
export function judgedData(): Target {
  const schemas = [
    ...[ping(), ruledPing()].map((one) =>
      compileMessage(readDescriptorSet(one).registry, "t.Ping")
    ),
    compileMessage(readUnpackedSet(sets()[1]!).registry, "t.All"),
  ];
  const seeds = [
    Uint8Array.from([0x08, 0x05, 0x12, 0x02, 0x68, 0x69, 0x1a, 0x02, 0x08, 0x01]),
    Uint8Array.from([0x08, 0x01, 0x12, 0x05, 0x0a, 0x01, 0x61, 0x10, 0x07]),
    utf8('{"n":1,"text":"hi","inner":[{"id":1}]}'),
    utf8('{"n":1,"labels":{"a":7}}'),
  ];
  const words = [...PROTO_WORDS, ...wordsOf("null", "[[[[", '"inner":', "1e999", "NaN", "\\ud800")];
  const run = (bytes: Uint8Array) => {
    for (const schema of schemas) {
      for (const unknown_fields of ["allow", "refuse"] as const) {
        schema.validate(bytes, { unknown_fields });
        schema.validateJson(bytes, { unknown_fields });
      }
    }
  };
  const isRefusal = () => false;
  return { name: "judged-data", weight: 1, seeds, words, bytes_max: 2_048, run, isRefusal };
}
