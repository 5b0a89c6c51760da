/**
 * Hostile and broken descriptor sets: each is refused with a sentence that names the place. They are built as
 * descriptors, because no compiler would make them.
 */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  type FieldDescriptorProtoSchema,
  type FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { DESCRIPTOR_LIMITS, readDescriptorSet, SchemaError } from "./descriptor_set.ts";
import { compileProtos } from "../testing/protos.ts";

type File = MessageInitShape<typeof FileDescriptorProtoSchema>;
type Field = MessageInitShape<typeof FieldDescriptorProtoSchema>;

const encode = (...file: File[]) =>
  toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }));
const zip = (...file: File[]) => gzipSync(encode(...file));
const int32 = (name: string, number: number, more: Field = {}): Field => ({
  name,
  number,
  label: Label.OPTIONAL,
  type: Type.INT32,
  ...more,
});
const withFields = (...field: Field[]): File => ({
  name: "a.proto",
  syntax: "proto3",
  messageType: [{ name: "M", field }],
});
const file = (name: string, ...dependency: string[]): File => ({ name, dependency });

function refused(gzipped: Uint8Array, expected: RegExp, limits = DESCRIPTOR_LIMITS): void {
  assert.throws(() => readDescriptorSet(gzipped, limits), (error) => {
    assert.ok(error instanceof SchemaError, `${error}`);
    assert.match(error.message, expected);
    assert.ok(error.message.length < 600, `a long message: ${error.message.length}`);
    return true;
  });
}

Deno.test("a compiled set is read, linked and ordered, without its comments", async () => {
  const bytes = await compileProtos({
    "a.proto": 'syntax = "proto3"; package p; import "b.proto"; // seen by nobody\n' +
      'import "google/protobuf/any.proto";\nmessage A { b.B b = 1; google.protobuf.Any any = 2; }',
    "b.proto": 'syntax = "proto2"; package b;\nmessage B { optional int32 two_words = 1; }',
  });
  const { set, registry } = readDescriptorSet(gzipSync(bytes));
  const names = set.file.map(({ name }) => name);
  assert.ok(names.indexOf("b.proto") < names.indexOf("a.proto"), names.join());
  assert.equal(registry.getMessage("b.B")?.fields[0]?.jsonName, "twoWords");
  assert.ok(registry.getMessage("google.protobuf.Any"));
  assert.ok(set.file.every(({ sourceCodeInfo }) => sourceCodeInfo === undefined));
});

Deno.test("imports may come in any order, and JSON names may be missing", () => {
  const fields = withFields(int32("stop_time_2x", 1));
  const { set, registry } = readDescriptorSet(zip(file("b.proto", "a.proto"), fields));
  assert.deepEqual(set.file.map(({ name }) => name), ["a.proto", "b.proto"]);
  assert.equal(registry.getMessage("M")?.fields[0]?.jsonName, "stopTime2x");
});

Deno.test("bytes that are not gzip, truncated or damaged are refused", () => {
  const good = zip(withFields(int32("a", 1)));
  refused(new Uint8Array(), /not gzip/);
  refused(encode(withFields()), /not gzip/);
  refused(new TextEncoder().encode("{}"), /not gzip/);
  for (let length = 2; length < good.length; length++) {
    refused(good.subarray(0, length), /cut off or damaged/);
  }
  const damaged = good.slice();
  damaged[good.length - 6] = (damaged[good.length - 6] ?? 0) ^ 1;
  refused(damaged, /cut off or damaged/);
});

Deno.test("a set truncated before compression is refused at every incomplete length", () => {
  const bytes = encode(withFields(int32("a", 1)), { name: "b.proto" });
  const boundary = encode(withFields(int32("a", 1))).length;
  for (let length = 0; length < bytes.length; length++) {
    if (length === boundary) continue;
    refused(gzipSync(bytes.subarray(0, length)), /cut off or no FileDescriptorSet|holds no file/);
  }
  readDescriptorSet(gzipSync(bytes.subarray(0, boundary)));
});

Deno.test("bytes of something else are refused", () => {
  refused(gzipSync(new TextEncoder().encode('syntax = "proto3";')), /no FileDescriptorSet|no file/);
  refused(gzipSync(new Uint8Array(1000).fill(0xff)), /no FileDescriptorSet/);
  refused(gzipSync(new Uint8Array([0x10, 0x01])), /holds no file/);
  refused(gzipSync(new Uint8Array([0x0b, 0x0b])), /no FileDescriptorSet/);
  refused(gzipSync(new Uint8Array(500).fill(0x0b)), /nested more than 64 deep/);
});

Deno.test("a gzip bomb and a set above a limit are refused before they cost much", () => {
  const bomb = gzipSync(new Uint8Array(200_000_000));
  refused(bomb, /unpacks to more than 16777216 bytes/);
  const long = { ...DESCRIPTOR_LIMITS, gzipped_bytes: 100 };
  refused(gzipSync(crypto.getRandomValues(new Uint8Array(500))), /at most 100/, long);
  const names = Array.from({ length: 10_001 }, (_, index) => ({ name: `M${index}` }));
  refused(zip({ name: "a.proto", messageType: names }), /more than 10000 messages/);
  refused(zip(...Array.from({ length: 1_001 }, (_, n) => file(`${n}`))), /more than 1000 files/);
  // Two bytes for each of eight million empty fields.
  const message = new Uint8Array(16_000_000);
  for (let at = 0; at < message.length; at += 2) message[at] = 0x12;
  refused(gzipSync(nest([0x0a, 0x22], message)), /more than 200000 parts/);
});

/** `bytes` in a length-delimited field of each tag, the first outermost. */
function nest(tags: readonly number[], bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  let inner = new Uint8Array(bytes);
  for (const tag of tags.toReversed()) {
    const head = [tag];
    for (let rest = inner.length; rest > 0 || head.length === 1; rest = Math.floor(rest / 128)) {
      head.push((rest % 128) + (rest >= 128 ? 128 : 0));
    }
    const outer = new Uint8Array(head.length + inner.length);
    outer.set(head);
    outer.set(inner, head.length);
    inner = outer;
  }
  return inner;
}

Deno.test("messages nested deeper than a compiler accepts are refused", () => {
  const deep = (levels: number) => nest([0x0a, 0x22, ...Array(levels - 1).fill(0x1a)], named("A"));
  refused(gzipSync(deep(33)), /nested more than 32 deep/);
  refused(gzipSync(deep(10_000)), /nested more than 32 deep/);
});

const named = (name: string) => nest([0x0a], new TextEncoder().encode(name));

Deno.test("the largest set that is allowed is read in a moment's work", () => {
  const messageType = Array.from({ length: 9_999 }, (_, index) => ({
    name: `M${index}`,
    field: Array.from({ length: 3 }, (_, n) => int32(`f${n}`, n + 1)),
  }));
  const { registry } = readDescriptorSet(zip({ name: "a.proto", syntax: "proto3", messageType }));
  assert.equal([...registry].length, 9_999);
});

Deno.test("imports that are missing, double or circular are refused", () => {
  refused(zip(file("a.proto", "b.proto")), /"a.proto" imports "b.proto", which is not in/);
  refused(zip(file("a.proto", "a.proto")), /in a circle: a.proto → a.proto/);
  refused(zip(file("a", "b"), file("b", "c"), file("c", "b")), /in a circle: b → c → b/);
  const circle = Array.from({ length: 900 }, (_, n) => file(`f${n}`, `f${(n + 1) % 900}`));
  refused(zip(...circle), /in a circle: f0 → f1 .* … → f0/);
  refused(zip(file("a"), file("a")), /"a" is in the descriptor set twice/);
  refused(zip(file("b"), file("a", "b", "b")), /"a" imports a file twice/);
  refused(zip(file("")), /no name/);
});

Deno.test("references must lead to a type that the file sees", () => {
  const to = (typeName: string, type = Type.MESSAGE) =>
    withFields(int32("a", 1, { type, typeName }));
  refused(zip(to(".Gone")), /field "M.a" refers to the message "Gone", which is not in/);
  refused(zip(to(".M", Type.ENUM)), /refers to the enum "M", which is a message/);
  refused(zip(to("")), /which is not in/);
  const other: File = { name: "b.proto", package: "b", messageType: [{ name: "B" }] };
  refused(zip(to(".b.B"), other), /refers to "b.B", but does not import b.proto/);
  const middle = (publicDependency: number[]): File => ({
    ...file("m.proto", "b.proto"),
    publicDependency,
  });
  const importing = { ...to(".b.B"), dependency: ["m.proto"] };
  refused(zip(importing, middle([]), other), /but does not import b.proto/);
  assert.ok(readDescriptorSet(zip(importing, middle([0]), other)));
  refused(zip(withFields(int32("a", 1, { typeName: ".M" }))), /is a scalar and names the type/);
  const method = { name: "Call", inputType: ".M", outputType: ".N" };
  refused(
    zip({
      name: "a.proto",
      messageType: [{ name: "M" }],
      service: [{ name: "S", method: [method] }],
    }),
    /"S.Call" refers/,
  );
});

Deno.test("numbers and names are unique and allowed", () => {
  const fields = (...list: Field[]) => zip(withFields(...list));
  refused(fields(int32("a", 2), int32("b", 2)), /"M.b" has the number 2, as field "a"/);
  refused(fields(int32("a", 1), int32("a", 2)), /"M.a" of a field is taken by a field/);
  refused(fields(int32("a", 0)), /the number 0, which no field may have/);
  refused(fields(int32("a", 536_870_912)), /no field may have/);
  refused(fields(int32("a", 19_500)), /no field may have/);
  refused(fields(int32("1a", 1)), /"1a" is no identifier/);
  refused(fields(int32("a", 1, { label: Label.REQUIRED })), /is required, which proto3/);
  refused(fields({ name: "a", number: 1 }), /"M.a" has no type/);
  refused(fields(int32("a_b", 1), int32("aB", 2)), /the same JSON name "aB"/);
  refused(fields(int32("a", 1, { oneofIndex: 3 })), /oneof #3, which does not exist/);
  const twice: File = { name: "b.proto", messageType: [{ name: "M" }] };
  refused(zip(withFields(), twice), /"M" of a message is taken by a message of a.proto/);
  refused(zip(withFields(), { name: "b", package: "M.x" }), /"M" of a package is taken/);
  refused(zip({ name: "b", package: "x..y" }), /"x..y" is no package name/);
  refused(zip({ name: "b", package: "x".repeat(2_000) }), /is no package name/);
  refused(zip({ name: "b", messageType: [{ name: "x".repeat(2_000) }] }), /above 1024/);
});

Deno.test("reservations, extensions, maps and enums are well formed", () => {
  const message = (more: NonNullable<File["messageType"]>[number]) =>
    zip({ name: "a.proto", messageType: [{ name: "M", ...more }] });
  const field = [int32("a", 5)];
  refused(message({ field, reservedRange: [{ start: 3, end: 6 }] }), /which the message reserves/);
  refused(message({ field, reservedName: ["a"] }), /a name that the message reserves/);
  refused(message({ field, extensionRange: [{ start: 1, end: 9 }] }), /is left to extensions/);
  refused(message({ reservedRange: [{ start: 6, end: 3 }] }), /names the range 6 to 2/);
  const extension = [int32("x", 9, { extendee: ".M" })];
  refused(message({ extension }), /the number 9, which M does not offer/);
  const offered = { extensionRange: [{ start: 9, end: 10 }] };
  const double = [...extension, int32("y", 9, { extendee: ".M" })];
  refused(message({ extension: double, ...offered }), /as another extension of M/);
  refused(message({ oneofDecl: [{ name: "o" }] }), /oneof "M.o" is empty/);
  const entry = { name: "E", options: { mapEntry: true }, field };
  refused(message({ nestedType: [entry] }), /"M.E" is no well-formed map entry/);
  const values = (...value: { name: string; number: number }[]) =>
    zip({ name: "a.proto", syntax: "proto3", enumType: [{ name: "E", value }] });
  refused(values(), /enum "E" has no values/);
  refused(values({ name: "A", number: 1 }), /first value of the proto3 enum "E" is not 0/);
  const zero = { name: "A", number: 0 };
  refused(values(zero, { name: "B", number: 0 }), /"E.B" has the number 0, as "A", and/);
  refused(values(zero, { name: "A", number: 1 }), /"A" of a enum value is taken/);
});

Deno.test("default values must match their type, and editions must be known", () => {
  const proto2 = (more: Field) => zip({ ...withFields(int32("a", 1, more)), syntax: "proto2" });
  refused(proto2({ defaultValue: "x" }), /the default value "x", which is none of its type/);
  for (const text of ["1.5", "", " 1", "2147483648", "nan", "0x"]) {
    refused(proto2({ defaultValue: text }), /which is none of its type/);
  }
  refused(proto2({ type: Type.UINT64, defaultValue: "-1" }), /which is none of its type/);
  refused(proto2({ type: Type.BOOL, defaultValue: "yes" }), /which is none of its type/);
  refused(proto2({ type: Type.DOUBLE, defaultValue: "1,5" }), /which is none of its type/);
  for (const text of ["inf", "-inf", "nan", "1.5e+300"]) {
    readDescriptorSet(proto2({ type: Type.DOUBLE, defaultValue: text }));
  }
  refused(proto2({ defaultValue: "1", label: Label.REPEATED }), /its type cannot have/);
  refused(zip(withFields(int32("a", 1, { defaultValue: "1" }))), /which proto3 does not know/);
  refused(zip({ name: "a.proto", syntax: "proto9" }), /does not link: .*unsupported syntax/);
  refused(zip({ name: "a.proto", syntax: "editions", edition: 1 }), /does not link: .*edition/);
});

Deno.test("JavaScript's property names are normal names", () => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "prototype"];
  const { registry } = readDescriptorSet(zip({
    name: "a.proto",
    messageType: names.map((name) => ({
      name,
      field: names.map((field, index) => int32(field, index + 1, { jsonName: field })),
    })),
  }));
  for (const name of names) assert.equal(registry.getMessage(name)?.fields.length, names.length);
});
