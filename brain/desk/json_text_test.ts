/** JSON text compared with `JSON.parse` and `JSON.stringify`. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { compactJson, objectMembers } from "./json_text.ts";

/** JSON with white space wherever JSON allows it. */
const spacedJson = fc.tuple(fc.jsonValue(), fc.constantFrom(0, 1, 4, "\t", " \r\n"))
  .map(([value, indent]) => `\n${JSON.stringify(value, undefined, indent)} \t`);

Deno.test("compacting any JSON drops white space and nothing else", () => {
  fc.assert(fc.property(spacedJson, (text) => {
    const compact = compactJson(text);
    assert.equal(compact, JSON.stringify(JSON.parse(text)));
    assert.doesNotMatch(compact, /[\n\t]/);
    assert.equal(compactJson(compact), compact);
  }));
});

Deno.test("numbers and escapes stay as they were written", () => {
  const written = '{"a": [9007199254740993, 1.0, -0, 1e400, "\\u0041\\"\\\\ b"] }';
  assert.equal(compactJson(written), '{"a":[9007199254740993,1.0,-0,1e400,"\\u0041\\"\\\\ b"]}');
});

Deno.test("the members of any object are found with their own text", () => {
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(4), (object, indent) => {
    const members = objectMembers(JSON.stringify(object, undefined, indent));
    // JSON.stringify leaves out nothing here; "__proto__" is an ordinary member.
    const expected = Object.entries(object).map(([name, value]) => [name, JSON.stringify(value)]);
    assert.deepEqual([...members], expected);
  }));
});

Deno.test("a duplicate member is refused, also if it is escaped differently", () => {
  const repeated = { reason: "repeated-field" };
  assert.throws(() => objectMembers('{"key":1,"key":2}'), repeated);
  assert.throws(() => objectMembers('{"key":1,"\\u006bey":2}'), repeated);
});

Deno.test("reading an object with too many members stops at the limit", () => {
  assert.deepEqual([...objectMembers('{"a":1,"b":2}', 2).keys()], ["a", "b"]);
  assert.throws(() => objectMembers('{"a":1,"b":2,"c":3,"a":4}', 2), {
    detail: "more than 2 members",
  });
});

Deno.test("anything but a JSON object is refused", () => {
  for (const text of ["", "null", "[]", '"x"', "1", "{", '{"a":1}x', "{'a':1}", "\ufeff{}"]) {
    assert.throws(() => objectMembers(text), SyntaxError, text);
  }
});

Deno.test("a hundred thousand nested arrays overflow nothing", () => {
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  assert.equal(objectMembers(`{"value": ${deep} }`).get("value"), deep);
});
