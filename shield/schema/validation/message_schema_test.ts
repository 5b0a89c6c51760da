/** Compiled messages as a whole: modes for unknown fields, limits, and refused schemas. */
import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import { compileMessage, SCHEMA_LIMITS, type UnknownFields } from "./message_schema.ts";
import { field, list, proto2, proto3, registryOf } from "../testing/messages.ts";

const all = compileMessage(proto3(), "t.All");
const node = compileMessage(proto2(), "t.Node");
/** A Node with its required fields only. */
const NODE = [0x0a, 0x03, 0x0a, 0x01, 0x61, 0x10, 0x01];

function validate(schema: typeof all, bytes: number[], unknown_fields: UnknownFields = "allow") {
  return schema.validate(new Uint8Array(bytes), { unknown_fields });
}

Deno.test("a valid message costs no allocation: the result is shared", () => {
  const first = validate(all, []);
  assert.equal(first, validate(all, [0x10, 0x01].slice(0, 0)));
  assert.deepEqual(first, { violations: [], total: 0, unknown: 0, unknown_paths: [] });
});

Deno.test("JSON that begins with a byte order mark is none, for checks and for filters", () => {
  const data = new TextEncoder().encode("\uFEFF{}");
  assert.throws(() => all.read("application/json", data), SyntaxError);
  assert.equal(all.validateJson(data, { unknown_fields: "allow" }).total, 1);
});

Deno.test("an unknown field is counted, named or refused, by mode", () => {
  // Field 600 in the message, and field 7 in `self` within `self`.
  const bytes = [0xc0, 0x25, 0x01, 0xda, 0x02, 0x06, 0xda, 0x02, 0x03, 0xc0, 0x25, 0x05];
  const counted = { violations: [], total: 0, unknown: 2, unknown_paths: [] };
  assert.deepEqual(validate(all, bytes, "allow"), counted);
  const warned = validate(all, bytes, "warn");
  assert.equal(warned.total, 0);
  assert.deepEqual(warned.unknown_paths, ["600", "self.self.600"]);
  const refused = validate(all, bytes, "refuse");
  assert.equal(refused.total, 2);
  assert.deepEqual(refused.violations[1], {
    path: "self.self.600",
    rule: "unknown-field",
    message: "field 600 (a varint) is not in t.All",
  });
});

Deno.test("an extension in the set is known, and checked by its type", () => {
  // Field 100 is the extension t.extra, a Leaf; here with its required id, and without.
  const good = [...NODE, 0xa2, 0x06, 0x03, 0x0a, 0x01, 0x62];
  assert.deepEqual(validate(node, good, "refuse").violations, []);
  const bad = validate(node, [...NODE, 0xa2, 0x06, 0x00], "refuse");
  assert.deepEqual(bad.violations.map(({ path, rule }) => [path, rule]), [
    ["[t.extra].id", "required"],
  ]);
  const stranger = validate(node, [...NODE, 0xaa, 0x06, 0x00], "refuse");
  assert.deepEqual(stranger.violations.map(({ path }) => path), ["101"]);
});

Deno.test("a value outside a closed enum is an unknown field, and its own index is named", () => {
  const warned = validate(node, [...NODE, 0x20, 0x09, 0x28, 0x01, 0x2a, 0x02, 0x02, 0x07], "warn");
  assert.deepEqual(warned.unknown_paths, ["mode", "modes[2]"]);
  assert.equal(validate(node, [...NODE, 0x20, 0x02], "refuse").total, 0);
});

Deno.test("16 violations are described and all are counted", () => {
  const empty_leaf = [0x1a, 0x00];
  const bytes = [...NODE, ...Array(40).fill(empty_leaf).flat()];
  const found = validate(node, bytes);
  assert.equal(found.total, 40);
  assert.equal(found.violations.length, 16);
  assert.equal(found.violations[15]?.path, "leaves[15].id");
  const many = [...NODE, ...Array(40).fill([0xaa, 0x06, 0x00]).flat()];
  const warned = validate(node, many, "warn");
  assert.deepEqual([warned.unknown, warned.unknown_paths.length], [40, 16]);
});

Deno.test("a message that the set does not have is refused with its name", () => {
  assert.throws(() => compileMessage(proto3(), "t.None"), {
    name: "SchemaError",
    message: 'the schema has no message "t.None"',
  });
});

Deno.test("a message that reaches too many types is refused", () => {
  const limits = { ...SCHEMA_LIMITS, messages: 1 };
  assert.throws(() => compileMessage(proto2(), "t.Node", limits), SchemaError);
  assert.equal(compileMessage(proto2(), "t.Leaf", limits).type_name, "t.Leaf");
});

Deno.test("more required fields than an integer has bits are all checked", () => {
  const required = { label: "LABEL_REQUIRED" };
  const fields = Array.from({ length: 70 }, (_, at) => field(`f${at}`, 1 + at, "int32", required));
  const outer_type = { name: "Outer", field: [list("wide", 1, ".t.Wide")] };
  const messageType = [{ name: "Wide", field: fields }, outer_type];
  const registry = registryOf({ syntax: "proto2", messageType });
  const wide = registry.getMessage("t.Wide");
  assert.ok(wide);
  const full = Object.fromEntries(fields.map((_, at) => [`f${at}`, at]));
  const schema = compileMessage(registry, "t.Wide");
  const bytes = toBinary(wide, create(wide, full));
  assert.equal(schema.validate(bytes, { unknown_fields: "refuse" }).total, 0);
  // The last field takes three bytes: f69 is field 70.
  const found = schema.validate(bytes.subarray(0, bytes.length - 3), { unknown_fields: "refuse" });
  assert.deepEqual(found.violations.map(({ path }) => path), ["f69"]);
  const outer = compileMessage(registry, "t.Outer");
  assert.equal(validate(outer, [0x0a, 0x00]).total, 70);
});
