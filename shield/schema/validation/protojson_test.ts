/** ProtoJSON as specified, for each form that JavaScript reads differently. */
import assert from "node:assert/strict";
import { type Message, toBinary } from "@bufbuild/protobuf";
import { validateJsonText } from "./json.ts";
import { compileMessage, SCHEMA_LIMITS } from "./message_schema.ts";
import { MessageWork } from "./validate_table.ts";
import { field, list, proto3, rules, withFields } from "../testing/messages.ts";

const registry = proto3();
const desc = registry.getMessage("t.All")!;
const encoder = new TextEncoder();

function read(text: string, of = { desc, registry }): Message | undefined {
  const bounds = { limits: SCHEMA_LIMITS, work: new MessageWork(SCHEMA_LIMITS) };
  const context = { ...of, required: undefined, ...bounds };
  return validateJsonText(context, encoder.encode(text), "refuse").message;
}

const number = (name: string, text: string) =>
  (read(`{"${name}":${text}}`) as unknown as Record<string, unknown> | undefined)?.[name];

Deno.test("a number in quotes must be a number in JSON syntax", () => {
  const none = "0x10,0b11,0o17, 1,1 ,\\t1,,+1,01,1.,.5,1e,1_0,-".split(",");
  for (const name of ["oneInt32", "oneUint32", "oneInt64", "oneUint64", "oneDouble", "oneFloat"]) {
    for (const text of none) assert.equal(number(name, `"${text}"`), undefined, `${name} ${text}`);
    for (const text of ["1e2", "1.0", "10e-1", "1E+1"]) {
      assert.equal(Number(number(name, `"${text}"`)), Number(text), `${name} "${text}"`);
      assert.equal(Number(number(name, text)), Number(text), `${name} ${text}`);
    }
  }
  for (const text of ["Infinity", "-Infinity", "NaN"]) {
    assert.equal(String(number("oneDouble", `"${text}"`)), text);
    assert.equal(number("oneInt32", `"${text}"`), undefined);
  }
  assert.equal(number("oneDouble", '"infinity"'), undefined);
});

Deno.test("integers are exact in each form, and within their range", () => {
  const exact: [string, string, bigint | number][] = [
    ["oneUint64", "18446744073709551615", 2n ** 64n - 1n],
    ["oneUint64", '"18446744073709551615"', 2n ** 64n - 1n],
    ["oneUint64", "1.8446744073709551615e19", 2n ** 64n - 1n],
    ["oneInt64", "9223372036854775807", 2n ** 63n - 1n],
    ["oneInt64", "-9223372036854775808", -(2n ** 63n)],
    ["oneInt64", "9007199254740993", 9007199254740993n],
    ["oneInt64", "9007199254740993.0", 9007199254740993n],
    ["oneInt64", '"-0"', 0n],
    ["oneInt32", "2147483647.0", 2147483647],
    ["oneUint32", '"4.294967295e9"', 4294967295],
  ];
  for (const [name, text, value] of exact) {
    assert.equal(number(name, text), value, `${name} ${text}`);
  }
  const refused: [string, string][] = [
    ["oneUint64", "18446744073709551616"],
    ["oneInt64", "9223372036854775808"],
    ["oneInt64", "4503599627370497.5"],
    ["oneInt64", '"1e-1"'],
    ["oneInt64", "1e999999999999"],
    ["oneInt64", `"1${"0".repeat(5_000)}"`],
    ["oneInt32", "2147483648"],
    ["oneUint32", "-1"],
    ["oneInt32", "1.5"],
  ];
  for (const [name, text] of refused) assert.equal(number(name, text), undefined, text);
  // For other fields, such a number is its nearest double, or invalid.
  assert.equal(number("oneDouble", "18446744073709551615"), 2 ** 64);
  assert.equal(number("oneDouble", "1e400"), undefined);
  assert.equal(number("oneString", "18446744073709551615"), undefined);
  assert.equal(number("anything", "1e400"), undefined);
  assert.ok(number("anything", '{"a":[12345678901234567890],"__proto__":1234567890123456789}'));
});

Deno.test("numbers are read equally in lists, in maps and as keys", () => {
  const text = '{"manyInt64":["1e2",18446744073709551,"1.0"],"labels":{"a":1e1,"b":"2.0"}}';
  const many = read(text) as unknown as { manyInt64: bigint[]; labels: object };
  assert.deepEqual(many.manyInt64, [100n, 18446744073709551n, 1n]);
  assert.deepEqual(many.labels, { a: 10, b: 2 });
  for (const key of ["0x1", "1e0", " 1", "1.0", "+1", ""]) {
    assert.equal(read(`{"children":{"${key}":{}}}`), undefined, key);
  }
  assert.ok(read('{"children":{"-1":{"oneInt64":"1e1"}}}'));
  assert.equal(read('{"manyInt64":["0x1"]}'), undefined);
});

Deno.test("a time must exist", () => {
  const when = (text: string) => read(JSON.stringify({ when: text })) !== undefined;
  for (const day of ["2024-02-29", "2000-02-29", "2023-12-31", "0001-01-01", "9999-12-31"]) {
    assert.ok(when(`${day}T23:59:59.999999999Z`), day);
  }
  const none = "2023-02-29 1900-02-29 2023-04-31 2023-00-01 2023-13-01 2023-01-00";
  for (const day of none.split(" ")) assert.ok(!when(`${day}T00:00:00Z`), day);
  for (const time of ["24:00:00", "23:60:00", "23:59:60", "1:00:00"]) {
    assert.ok(!when(`2023-01-01T${time}Z`), time);
  }
});

const durations = withFields(
  field("d", 1, ".google.protobuf.Duration"),
  field("any", 2, ".google.protobuf.Any"),
  field("wide", 3, ".google.protobuf.UInt64Value"),
);

Deno.test("durations, wrappers and the content of an Any are read by the same rules", () => {
  const schema = compileMessage(durations, "t.M");
  const fits = (json: string) =>
    schema.validateJson(encoder.encode(json), { unknown_fields: "refuse" }).total === 0;
  for (const text of ["1s", "0.5s", "-0.000000001s", "315576000000s"]) {
    assert.ok(fits(`{"d":"${text}"}`), text);
  }
  for (const text of "1s , 1s,1,1.s,1.1234567890s,1e2s,1ss,0x1s,315576000001s".split(",")) {
    assert.ok(!fits(`{"d":"${text}"}`), text);
  }
  assert.ok(fits('{"wide":18446744073709551615}') && fits('{"wide":"1e2"}'));
  assert.ok(!fits('{"wide":"0x1"}') && !fits('{"wide":18446744073709551616}'));
  const any = (type: string, rest: string) =>
    fits(`{"any":{"@type":"type.googleapis.com/${type}",${rest}}}`);
  assert.ok(any("t.M", '"d":"1s"') && any("google.protobuf.Duration", '"value":"1s"'));
  assert.ok(!any("t.M", '"d":"1s "') && !any("google.protobuf.Duration", '"value":"1s "'));
  assert.ok(any("google.protobuf.UInt64Value", '"value":18446744073709551615'));
});

Deno.test("base64 has no blanks, and padding is complete or absent", () => {
  for (const text of ["", "YQ==", "YQ", "_-8", "+/8="]) {
    assert.ok(read(`{"oneBytes":"${text}"}`), text);
  }
  for (const text of ["Y Q==", "YQ=", "Y", "YQ==\\n", "YQ==YQ==", "Y*=="]) {
    assert.equal(read(`{"oneBytes":"${text}"}`), undefined, text);
  }
});

Deno.test("a float is rounded to 32 bits before rules run, in JSON as in binary", () => {
  const ruled = withFields(
    // Not a float of 32 bits: the nearest one is above it.
    field("f", 1, "float", rules({ float: { lte: 0.1 } })),
    list("many", 2, "float", rules({ repeated: { unique: true } })),
  );
  const schema = compileMessage(ruled, "t.M");
  const desc = ruled.getMessage("t.M")!;
  const singles = ["0.1", "0.100000001", "0.1000001"].map((text) => `{"f":${text}}`);
  const texts = [...singles, '{"many":[0.1,0.10000000001]}', '{"many":[0.1,0.2]}'];
  const verdicts = texts.map((text) => {
    const message = read(text, { desc, registry: ruled })!;
    const errors = [
      schema.validateJson(encoder.encode(text), { unknown_fields: "refuse" }),
      schema.validate(toBinary(desc, message), { unknown_fields: "refuse" }),
    ].map(({ violations }) => violations.map(({ rule, path }) => `${rule} ${path}`));
    assert.deepEqual(errors[0], errors[1], text);
    return errors[0]?.length;
  });
  assert.ok(verdicts.includes(0) && verdicts.includes(1));
  assert.equal(verdicts[3], 1, "the two are one float");
});
