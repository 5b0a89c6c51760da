/** The ProtoJSON form: paths of faults, unknown members by mode, required fields, limits. */
import assert from "node:assert/strict";
import { create, toJsonString } from "@bufbuild/protobuf";
import { compileMessage, type MessageSchema, type UnknownFields } from "./message_schema.ts";
import { field, proto2, proto3, registryOf, rules, withFields } from "../testing/messages.ts";

const registry = proto3();
const all = compileMessage(registry, "t.All");
const node = compileMessage(proto2(), "t.Node");
const encoder = new TextEncoder();

function validate(schema: MessageSchema, json: unknown, unknown_fields: UnknownFields = "allow") {
  const text = typeof json === "string" ? json : JSON.stringify(json);
  return schema.validateJson(encoder.encode(text), { unknown_fields });
}

function found(schema: MessageSchema, json: unknown, mode?: UnknownFields): string[] {
  return validate(schema, json, mode).violations.map(({ path, rule }) => `${rule} ${path}`);
}

/** A valid message with unknown members that are only counted. */
const counted = (unknown: number) => ({ violations: [], total: 0, unknown, unknown_paths: [] });

Deno.test("texts of protobuf-es pass", () => {
  const desc = registry.getMessage("t.All")!;
  const text = toJsonString(
    desc,
    create(desc, {
      oneInt64: 1n << 60n,
      oneBytes: new Uint8Array([1, 2, 255]),
      manyDouble: [1.5, NaN, Infinity],
      color: 2,
      labels: { a: 1, "b.c": 2 },
      when: { seconds: 5n, nanos: 0 },
      selves: [{ oneBool: true }, {}],
      choice: { case: "either", value: "x" },
    } as Record<string, unknown>),
  );
  assert.deepEqual(found(all, text, "refuse"), []);
});

Deno.test("all invalid members are named with their path", () => {
  const json = {
    oneInt32: "x",
    one_bool: 1,
    many_string: ["a", 5, "b", null],
    self: { selves: [{}, { oneUint32: -1 }] },
    labels: { 'a"b': "many" },
    when: "yesterday",
    colors: ["RED", "BLUE", {}],
    other: [],
  };
  assert.deepEqual(found(all, json), [
    "json one_int32",
    "json one_bool",
    "json many_string[1]",
    "json many_string[3]",
    "json self.selves[1].one_uint32",
    'json labels["a\\"b"]',
    "json when",
    "json colors[2]",
    "json other",
  ]);
});

Deno.test("unknown members are counted, named or refused, by mode", () => {
  const json = { nope: 1, self: { selves: [{ what: {} }] }, color: "GREEN", oneInt32: 5 };
  assert.deepEqual(validate(all, json, "allow"), counted(3));
  const warned = validate(all, json, "warn");
  assert.deepEqual(warned.unknown_paths, ["nope", "self.selves[0].what", "color"]);
  assert.equal(warned.total, 0);
  assert.deepEqual(found(all, json, "refuse"), [
    "unknown-field nope",
    "unknown-field self.selves[0].what",
    "unknown-field color",
  ]);
});

Deno.test("a duplicate member is refused, under one name or two", () => {
  assert.deepEqual(found(all, '{"oneInt32": 1, "oneInt32": 2}'), ["json "]);
  assert.deepEqual(found(all, '{"oneInt32": 1, "one_int32": 2}'), ["json one_int32"]);
  assert.deepEqual(found(all, '{"either": "a", "other": {}}'), ["json "]);
});

Deno.test("invalid JSON, invalid UTF-8 and non-objects are refused", () => {
  const invalid = ["", "{", "nul", "{}{}", "\ufeff{}", '{"a": undefined}', "\0", "[1,]"];
  for (const text of [...invalid, "null", "[]", "5", '"a"', "true"]) {
    assert.deepEqual(found(all, text), ["json "], text);
  }
  const bytes = new Uint8Array([0x22, 0xff, 0x22]);
  const result = all.validateJson(bytes, { unknown_fields: "allow" });
  assert.deepEqual(result.violations.map(({ rule }) => rule), ["utf8"]);
});

Deno.test("binary sent as JSON is refused", () => {
  const bytes = new Uint8Array([0x4a, 0x01, 0x61]);
  assert.equal(all.validateJson(bytes, { unknown_fields: "allow" }).total, 1);
});

Deno.test("JSON nested 10,000 deep is refused without recursion", () => {
  const deep = (open: string, close: string, depth = 10_000) =>
    `${open.repeat(depth)}1${close.repeat(depth)}`;
  assert.deepEqual(found(all, deep("[", "]")), ["depth "]);
  assert.deepEqual(found(all, deep('{"self":', "}")), ["depth "]);
  assert.deepEqual(found(all, `{"anything":${deep("[", "]")}}`), ["depth "]);
  assert.match(found(all, deep('{"self":', "}", 150)).join(), /^depth sel[^,]*$/);
  const brackets = JSON.stringify({ oneString: `\\"${"[".repeat(10_000)}` });
  assert.deepEqual(found(all, brackets), []);
});

Deno.test("JSON: missing required fields are named at every level", () => {
  assert.deepEqual(found(node, {}), ["required leaf", "required version"]);
  const json = { leaf: { id: "a" }, version: 1, leaves: [{ id: "b" }, { note: "c" }], item: [{}] };
  assert.deepEqual(found(node, json), ["required leaves[1].id", "required item[0].name"]);
});

Deno.test("an extension in the set is read", () => {
  const json = { leaf: { id: "a" }, version: 1, "[t.extra]": { id: "b" } };
  assert.deepEqual(found(node, json, "refuse"), []);
  assert.deepEqual(found(node, { ...json, "[t.extra]": 5 }, "refuse"), ["json [t.extra]"]);
  const other = found(node, { ...json, "[t.other]": {} }, "refuse");
  assert.deepEqual(other, ["unknown-field [t.other]"]);
  assert.deepEqual(found(node, { ...json, "[t.extra]": null }, "refuse"), [], "it is absent");
  const leaf = { id: "a", "[t.extra]": { id: "b" } };
  assert.deepEqual(found(node, { ...json, leaf }), [], "another message's is unknown");
  assert.deepEqual(found(node, { ...json, leaf }, "refuse"), ["unknown-field leaf[t.extra]"]);
});

Deno.test("a key like __proto__ is a member like any other", () => {
  assert.deepEqual(found(all, '{"__proto__": {"a": 1}}', "refuse"), ["unknown-field __proto__"]);
  assert.deepEqual(found(all, '{"labels": {"__proto__": "x"}}'), ['json labels["__proto__"]']);
});

Deno.test("rules are judged in JSON as in binary", () => {
  const more_than_5 = field("n", 1, "int32", rules({ int32: { gt: 5 } }));
  const schema = compileMessage(withFields(more_than_5, field("self", 2, ".t.M")), "t.M");
  assert.deepEqual(found(schema, { n: 6, self: { n: 1 } }), ["int32.gt self.n"]);
  assert.deepEqual(validate(schema, { n: 6, more: 1 }), counted(1));
});

Deno.test("a long text with one late fault is searched within limits, and refused", () => {
  const long = { many_int32: Array<unknown>(100_000).fill(1) };
  long.many_int32.push("x");
  assert.deepEqual(found(all, long), ["json "]);
  const selves = Array.from({ length: 4_500 }, () => ({ oneInt32: 1 }) as Record<string, unknown>);
  selves.push({ color: "GREEN" });
  assert.deepEqual(found(all, { selves }, "refuse"), ["json "]);
  assert.deepEqual(found(all, { selves }, "allow"), []);
  const faults = { many_int32: Array<string>(50_000).fill("x") };
  assert.equal(validate(all, faults).violations.length, 16);
});

Deno.test("an unknown enum name is refused if the rules require defined_only, at any position", () => {
  const color = { type: "TYPE_ENUM", typeName: ".t.Color" };
  const only = { enum: { definedOnly: true } };
  const entry = {
    name: "ByNameEntry",
    options: { mapEntry: true },
    field: [field("key", 1, "string"), field("value", 2, "enum", color)],
  };
  const schema = compileMessage(
    registryOf({
      syntax: "proto3",
      enumType: [{
        name: "Color",
        value: [{ name: "NONE", number: 0 }, { name: "RED", number: 1 }],
      }],
      messageType: [{
        name: "M",
        oneofDecl: [{ name: "o" }],
        nestedType: [entry],
        field: [
          field("one", 1, "enum", { ...color, ...rules(only) }),
          field("many", 2, "enum", {
            ...color,
            label: "LABEL_REPEATED",
            ...rules({ repeated: { items: only } }),
          }),
          field("by_name", 3, ".t.M.ByNameEntry", {
            label: "LABEL_REPEATED",
            ...rules({ map: { values: only } }),
          }),
          field("choice", 4, "enum", { ...color, oneofIndex: 0, ...rules(only) }),
          field("free", 5, "enum", color),
        ],
      }],
    }),
    "t.M",
  );
  const listed = { many: ["RED", "ERD"], by_name: { a: "ERD" } };
  const json = { one: "ERD", ...listed, choice: "ERD", free: "ERD" };
  for (const mode of ["allow", "warn"] as const) {
    assert.deepEqual(found(schema, json, mode), [
      "enum.defined_only one",
      "enum.defined_only many[1]",
      'enum.defined_only by_name["a"]',
      "enum.defined_only choice",
    ]);
  }
  assert.deepEqual(found(schema, { free: "ERD", one: "RED" }), []);
});
