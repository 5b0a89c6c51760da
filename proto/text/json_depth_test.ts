/** The depth of JSON, compared with a recursive count. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { JSON_DEPTH_MAX, nestsTooDeep } from "./json_depth.ts";

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
