/** Member spans: exactly the text that each value had, whatever surrounds it. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { DecodeError } from "../errors/decode_error.ts";
import { arrayItems, objectMembers } from "./json_span.ts";

const never = () => new DecodeError("malformed-frame", "too many");

function spans(text: string): [string, string][] {
  return Array.from(
    objectMembers(text, 0, 100, never),
    ([key, { start, end }]) => [key, text.slice(start, end)],
  );
}

Deno.test("each member's span is its value's own text", () => {
  const space = fc.string({ unit: fc.constantFrom(" ", "\n", "\t", "\r"), maxLength: 3 });
  const member = fc.tuple(fc.string(), fc.json({ maxDepth: 3 }), space, space, space, space);
  const members = fc.uniqueArray(member, { maxLength: 6, selector: ([key]) => key });
  fc.assert(fc.property(space, members, space, (before, list, inside) => {
    const body = list.map(([key, value, a, b, c, d]) =>
      `${a}${JSON.stringify(key)}${b}:${c}${value}${d}`
    );
    const text = `${before}{${list.length === 0 ? inside : body.join(",")}}${before}`;
    JSON.parse(text);
    assert.deepEqual(spans(text), list.map(([key, value]) => [key, value]));
  }));
});

Deno.test("keys are compared as they read, not as they are written", () => {
  assert.deepEqual(spans('{"\\u0061\\"":1,"a":2}'), [['a"', "1"], ["a", "2"]]);
  assert.throws(() => spans('{"a":1,"\\u0061":2}'), { reason: "repeated-field" });
});

Deno.test("more members than the limit are refused as soon as the limit is passed", () => {
  const text = `{${Array.from({ length: 1_000 }, (_, n) => `"${n}":${n}`)}}`;
  assert.throws(() => objectMembers(text, 0, 999, never), { reason: "malformed-frame" });
  assert.equal(objectMembers(text, 0, 1_000, never).size, 1_000);
});

Deno.test("each item's span is its own text, and their number is limited", () => {
  const space = fc.string({ unit: fc.constantFrom(" ", "\n", "\t", "\r"), maxLength: 3 });
  const item = fc.tuple(space, fc.json({ maxDepth: 3 }), space);
  fc.assert(fc.property(fc.array(item, { maxLength: 6 }), space, (list, inside) => {
    const body = list.map((parts) => parts.join("")).join(",");
    const text = `{"a":[${list.length === 0 ? inside : body}],"b":[1]}`;
    JSON.parse(text);
    const found = arrayItems(text, text.indexOf("["), 6, never);
    assert.deepEqual(found.map(({ start, end }) => text.slice(start, end)), list.map(([, v]) => v));
  }));
  assert.throws(() => arrayItems("[1,2,3]", 0, 2, never), { reason: "malformed-frame" });
});
