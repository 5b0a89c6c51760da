/** Scanning JSON: what is JSON, exactly as for `JSON.parse`; spans of values in any surroundings; depth. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { DecodeError } from "../errors/error.ts";
import { arrayItems, isJson, JSON_DEPTH_MAX, nestsTooDeep, objectMembers } from "./json_text.ts";

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

function isParsed(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const pieces = [
  ...[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    '"a"',
    '""',
    "\\",
    '"\\u00e9"',
    '"\\u12"',
    '"\\x"',
    '"\\"',
  ],
  ...["0", "1", "-", "+", ".", "e", "E5", "01", "-0.5e-7", "true", "false", "null", "nul", "NaN"],
  ...[" ", "\n", "\t", "\r", "\u00a0", "\ufeff", "\u0000", "é", "\ud800"],
];

Deno.test("the check accepts exactly what JSON.parse accepts", () => {
  const broken = fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((all) => all.join(""));
  const whole = fc.json({ maxDepth: 5 });
  const changed = fc.tuple(whole, fc.nat(), fc.nat(2), fc.constantFrom("", ...pieces)).map(
    ([text, place, cut, put]) => {
      const at = place % (text.length + 1);
      return text.slice(0, at) + put + text.slice(at + cut);
    },
  );
  const text = fc.oneof(
    broken,
    whole,
    changed,
    whole.map((one) => JSON.stringify([one, one], null, 1)),
  );
  fc.assert(fc.property(text, (one) => assert.equal(isJson(one), isParsed(one))), {
    numRuns: 5_000,
  });
  assert.ok(isJson("[".repeat(100_000) + "]".repeat(100_000)));
});

const nested = (levels: number, open = "[", close = "]") =>
  open.repeat(levels) + (open === "[" ? "" : "1") + close.repeat(levels);

Deno.test("the deepest allowed value is accepted, and one more level is not", () => {
  for (const [open, close] of [["[", "]"], ['{"a":', "}"], ["[ ", " ]"]] as const) {
    assert.equal(nestsTooDeep(nested(JSON_DEPTH_MAX, open, close)), false, open);
    assert.equal(nestsTooDeep(nested(JSON_DEPTH_MAX + 1, open, close)), true, open);
  }
});

Deno.test("neither brackets in strings nor many values side by side are depth", () => {
  const brackets = JSON.stringify(`\\"${"[{".repeat(200)}`);
  assert.equal(nestsTooDeep(`[${brackets},{${brackets}:1}]`), false);
  assert.equal(nestsTooDeep(`[${"[],{},".repeat(500)}1]`), false);
  assert.equal(nestsTooDeep(nested(100_000)), true);
});

function depthOf(value: unknown): number {
  if (value === null || typeof value !== "object") return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

Deno.test("the depth of any JSON in any number of arrays equals a recursive count", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.integer({ min: 85, max: 100 }), (value, levels) => {
    const text = "[".repeat(levels) + JSON.stringify(value) + "]".repeat(levels);
    assert.equal(nestsTooDeep(text), levels + depthOf(value) > JSON_DEPTH_MAX);
  }));
});
