/** The work of a comparison: it grows with the schema, and not with its square, whoever wrote it. */
import assert from "node:assert/strict";
import { create, createFileRegistry, type FileRegistry } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { compareDescriptors } from "./compat.ts";

const MANY = 200;
const indexes = Array.from({ length: MANY }, (_, at) => at);

/** A schema with one message of many fields and two enums of many values. */
function schemaOf(more: (at: number) => object, oneofs: readonly string[] = []): FileRegistry {
  const field = indexes.map((at) => ({
    name: `f${at}`,
    number: at + 1,
    type: 5,
    label: 1,
    ...more(at),
  }));
  const message = { name: "M", field, oneofDecl: oneofs.map((name) => ({ name })) };
  const enums = ["E", "F"].map((name) => ({
    name,
    value: indexes.map((number) => ({ name: `${name}${number}`, number })),
  }));
  const file = { name: "m.proto", syntax: "proto3", messageType: [message], enumType: enums };
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
}

/** How often the comparison reads the property of objects. */
function readsOf(
  from: FileRegistry,
  to: FileRegistry,
  things: readonly object[],
  name: string,
): number {
  let reads = 0;
  for (const thing of things) {
    const value: unknown = Reflect.get(thing, name);
    Object.defineProperty(thing, name, { get: () => (reads++, value) });
  }
  assert.ok(compareDescriptors(from, to, "FULL").length > 0);
  return reads;
}

Deno.test("a oneof that becomes two is compared in as many steps as it has members", () => {
  const from = schemaOf(() => ({ oneofIndex: 0 }), ["a"]);
  const to = schemaOf((at) => ({ oneofIndex: at % 2 }), ["b", "c"]);
  const fields = [from, to].flatMap((schema) => schema.getMessage("M")!.fields);
  const reads = readsOf(from, to, fields, "oneof");
  assert.ok(reads < 20 * MANY, `${reads}`);
});

Deno.test("two enums are compared once for all fields that turn the one into the other", () => {
  const from = schemaOf(() => ({ type: 14, typeName: ".E" }));
  const to = schemaOf(() => ({ type: 14, typeName: ".F" }));
  const enums = [from, to].flatMap((schema) => [schema.getEnum("E")!, schema.getEnum("F")!]);
  const reads = readsOf(from, to, enums, "values");
  assert.ok(reads < 20 * MANY, `${reads}`);
});
