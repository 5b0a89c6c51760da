/** The work of the worst messages of a size, counted in created messages and rule evaluations, not in time. */
import assert from "node:assert/strict";
import { field, list, map, registryOf, rules, withFields } from "../testing/messages.ts";
import { compileMessage, SCHEMA_LIMITS } from "./message_schema.ts";

const REQUIRED = { label: "LABEL_REQUIRED" };
const encoder = new TextEncoder();
const ALLOW = { unknown_fields: "allow" } as const;
const COUNT = 80_000;

/** A message with a list of items that have `count` fields like this one. */
function itemsOf(count: number, more: Parameters<typeof field>[3] = {}, syntax = "proto3") {
  const fields = Array.from({ length: count }, (_, at) => field(`f${at}`, at + 1, "string", more));
  const messageType = [
    { name: "M", field: [list("items", 1, ".t.Item")] },
    { name: "Item", field: fields },
  ];
  return compileMessage(registryOf({ syntax, messageType }), "t.M");
}

/** The bytes of `count` empty items. */
function empties(count: number): Uint8Array {
  const bytes = new Uint8Array(2 * count);
  for (let at = 0; at < bytes.length; at += 2) bytes[at] = 0x0a;
  return bytes;
}

const emptyTexts = (count: number) =>
  encoder.encode(`{"items":[${new Array(count).fill("{}").join(",")}]}`);

Deno.test("a message of empty messages with many fields is refused before they are created", () => {
  const many = itemsOf(100);
  const few = itemsOf(2);
  assert.equal(many.validateJson(emptyTexts(COUNT), ALLOW).violations[0]?.rule, "rule-cost");
  assert.ok(many.work <= SCHEMA_LIMITS.decode_steps);
  assert.equal(few.validateJson(emptyTexts(COUNT / 4), ALLOW).total, 0);
  // A walk allocates nothing.
  const { work } = many;
  assert.equal(many.validate(empties(COUNT), ALLOW).total, 0);
  assert.equal(many.work, work);
  // A filter decodes the message, which the check only walks.
  assert.throws(() => many.read("application/protobuf", empties(COUNT)), /more than 200000 steps/);
  assert.throws(() => many.read("application/json", emptyTexts(COUNT)), /more than 200000 steps/);
});

Deno.test("rules without loops count for each evaluated message", () => {
  const expression = { cel: [{ id: "a", expression: "this != 'b'" }] };
  for (const rule of [{ string: { maxLen: "5" } }, expression]) {
    const ruled = itemsOf(3, rules(rule));
    assert.equal(ruled.validate(empties(COUNT), ALLOW).violations[0]?.rule, "rule-cost");
    assert.ok(ruled.work <= SCHEMA_LIMITS.decode_steps);
    assert.equal(ruled.validate(empties(1_000), ALLOW).total, 0);
    assert.ok(ruled.work > SCHEMA_LIMITS.decode_steps + 10_000);
  }
});

Deno.test("rules of elements count for each element, also if packed or in a map", () => {
  const expression = `${"this + 0 >= 0 && ".repeat(200)}true`;
  const each = { cel: [{ id: "a", expression }] };
  const [entries, entry] = map("all", 2, "int32", field("value", 2, "int32"));
  const schema = compileMessage(
    registryOf({
      syntax: "proto3",
      messageType: [{
        name: "All",
        field: [
          list("numbers", 1, "int32", rules({ repeated: { items: each } })),
          { ...entries as object, ...rules({ map: { values: each } }) },
        ],
        nestedType: [entry],
      }],
    }),
    "t.All",
  );
  const packed = new Uint8Array(4 + 2_000);
  packed.set([0x0a, 0xd0, 0x0f]);
  const entry_bytes = [0x12, 0x02, 0x08, 0x01];
  const mapped = new Uint8Array(Array.from({ length: 2_000 }, () => entry_bytes).flat());
  for (const bytes of [packed.subarray(0, 3 + 2_000), mapped]) {
    assert.equal(schema.validate(bytes, ALLOW).violations[0]?.rule, "rule-cost");
  }
  const text = encoder.encode(`{"numbers":[${new Array(2_000).fill(0).join(",")}]}`);
  assert.equal(schema.validateJson(text, ALLOW).violations[0]?.rule, "rule-cost");
});

Deno.test("a walk ends after ten thousand missing required fields, and each message is searched once", () => {
  const required = itemsOf(100, REQUIRED, "proto2");
  const found = required.validate(empties(COUNT), ALLOW);
  assert.equal(found.total, 10_000);
  assert.equal(found.violations[0]?.path, "items[0].f0");
  // The 40 fields are in any order, each once; the last ones are found like the first.
  const fields = Array.from({ length: 40 }, (_, at) => field(`f${at}`, at + 1, "int32", REQUIRED));
  const messageType = [{ name: "Wide", field: fields }];
  const wide = compileMessage(registryOf({ syntax: "proto2", messageType }), "t.Wide");
  const tag = (number: number) =>
    number < 16 ? [number << 3] : [(number << 3) & 0x7f | 0x80, number >> 4];
  const all = Array.from({ length: 40 }, (_, at) => [...tag(40 - at), 1]);
  assert.equal(wide.validate(new Uint8Array(all.flat()), ALLOW).total, 0);
  const lacking = wide.validate(new Uint8Array(all.slice(1).flat()), ALLOW);
  assert.deepEqual(lacking.violations.map(({ path }) => path), ["f39"]);
});

Deno.test("one wide number makes each value cost more, and commas in strings do not count", () => {
  const schema = compileMessage(withFields(list("n", 1, "double"), field("s", 2, "string")), "t.M");
  const textOf = (first: string, rest: string) =>
    encoder.encode(`{"n":[${first}${rest}],"s":"${",".repeat(COUNT)}"}`);
  const judge = (first: string, rest: string) => schema.validateJson(textOf(first, rest), ALLOW);
  const many = ",1".repeat(COUNT);
  assert.equal(judge("10", many).total, 0);
  assert.equal(judge("1e1", many).violations[0]?.rule, "rule-cost");
  assert.equal(judge("1e1", ",1").total, 0);
});

Deno.test("values of a Struct, and repeated readings of an invalid text, count as well", () => {
  const schema = compileMessage(withFields(field("any", 1, ".google.protobuf.Struct")), "t.M");
  const text = encoder.encode(`{"no":1,"any":{"a":[${new Array(COUNT).fill(1).join(",")}]}}`);
  assert.equal(schema.validateJson(text, ALLOW).violations[0]?.rule, "rule-cost");
  const before = schema.work;
  assert.equal(schema.validateJson(encoder.encode(`{"no":1,"any":{"a":[1]}}`), ALLOW).total, 0);
  assert.ok(schema.work > before);
});

Deno.test("unknown names are charged in each mode, and refused if there are too many", () => {
  const names = (count: number) =>
    encoder.encode(`{${Array.from({ length: count }, (_, at) => `"k${at}":1`).join(",")}}`);
  const schema = itemsOf(2);
  for (const unknown_fields of ["allow", "warn", "refuse"] as const) {
    const before = schema.work;
    schema.validateJson(names(9_000), { unknown_fields });
    assert.ok(schema.work - before >= 180_000, `${unknown_fields}: ${schema.work - before}`);
    const { violations } = schema.validateJson(names(10_000), { unknown_fields });
    assert.equal(violations[0]?.rule, "rule-cost");
  }
  const before = schema.work;
  assert.equal(schema.validateJson(encoder.encode(`{"items":[],"k":1}`), ALLOW).unknown, 1);
  assert.ok(schema.work - before < 50);
});

Deno.test("keys of a map are charged like names, and refused if there are too many", () => {
  const [entries, entry] = map("all", 1, "string", field("value", 2, "int32"));
  const messageType = [{ name: "All", field: [entries], nestedType: [entry] }];
  const schema = compileMessage(registryOf({ syntax: "proto3", messageType }), "t.All");
  const keys = (count: number) => {
    const members = Array.from({ length: count }, (_, at) => `"k${at}":1`);
    return encoder.encode(`{"all":{${members.join(",")}}}`);
  };
  assert.equal(schema.validateJson(keys(25_000), ALLOW).total, 0);
  assert.ok(schema.work >= 175_000, `${schema.work}`);
  assert.equal(schema.validateJson(keys(30_000), ALLOW).violations[0]?.rule, "rule-cost");
});
