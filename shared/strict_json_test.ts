/** The strict reader refuses ambiguous JSON that `JSON.parse` accepts, and accepts everything else. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseStrictJson, parseStrictJsonBytes } from "./strict_json.ts";

const REFUSED: readonly (readonly [text: string, why: RegExp])[] = [
  ['{"a":1,"a":1}', /^"a" occurs twice$/],
  ['{"a":1,"\\u0061":2}', /^"a" occurs twice$/],
  ['{"a" : 1 ,\n"a"\t:2}', /occurs twice/],
  ['{"x":[{"y":{"b":1,"c":2,"b":[]}}]}', /^"b" occurs twice$/],
  ['[{"a":1},{"a":1,"a":2}]', /occurs twice/],
  ['{"__proto__":1,"__proto__":2}', /^"__proto__" occurs twice$/],
  ['{"a":{"b":1},"c":"\\"a\\":","a":2}', /^"a" occurs twice$/],
  ['{"":1,"":2}', /^a member occurs twice$/],
  ['{"\u202e":1,"\u202e":2}', /^a member occurs twice$/],
  ['{"a":1e309}', /number/],
  ["[-1e309]", /number/],
  [`[1${"0".repeat(309)}]`, /number/],
  ['{"a":1', /^it is not JSON$/],
  ["", /^it is not JSON$/],
];

Deno.test("ambiguous JSON, and infinite numbers, are refused", () => {
  for (const [text, why] of REFUSED) {
    assert.throws(() => parseStrictJson(text), { name: "SyntaxError", message: why }, text);
  }
});

Deno.test("the same name in different objects, in strings and as a value is no duplicate", () => {
  for (
    const text of [
      '{"a":{"a":{"a":"a"}},"b":["a","a"]}',
      '[{"a":1},{"a":1}]',
      '{"a":"\\"a\\":1,","b":"{\\"a\\":1}"}',
      '{"a":1.7976931348623157e308,"b":5e-324,"c":1e-999,"d":-0}',
    ]
  ) assert.deepEqual(parseStrictJson(text), JSON.parse(text));
});

Deno.test("every value that was written as JSON is read back", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.nat(3), (value, indent) => {
    const text = JSON.stringify(value, null, indent);
    assert.deepEqual(parseStrictJson(text), JSON.parse(text));
  }));
});

Deno.test("a repeated name is found at any position", () => {
  const objects = fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1, maxKeys: 5 });
  fc.assert(fc.property(objects, fc.nat(), (object, which) => {
    const names = Object.keys(object);
    const again = JSON.stringify(names[which % names.length]);
    const text = `[{"x":${JSON.stringify(object).slice(0, -1)},${again}:null}}]`;
    assert.throws(() => parseStrictJson(text), /occurs twice/);
  }));
});

Deno.test("bytes are UTF-8 without a byte order mark", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  assert.deepEqual(parseStrictJsonBytes(bytes('{"a":"é"}')), { a: "é" });
  const latin = new Uint8Array([0x22, 0xe9, 0x22]);
  assert.throws(() => parseStrictJsonBytes(latin), /^SyntaxError: it is not UTF-8$/);
  assert.throws(() => parseStrictJsonBytes(bytes('\ufeff{"a":1}')), /not JSON/);
});

Deno.test("values that are neither numbers nor strings are skipped without a pattern", () => {
  const { test } = RegExp.prototype;
  let looks = 0;
  RegExp.prototype.test = function (text) {
    looks++;
    return test.call(this, text);
  };
  try {
    for (const [text, most] of [[`[${"[],".repeat(20_000)}[]]`, 0], ["[1,-2]", 2]] as const) {
      looks = 0;
      parseStrictJson(text);
      assert.ok(looks <= most, `${looks} looks at ${text.length} characters`);
    }
  } finally {
    RegExp.prototype.test = test;
  }
});
