// How help wraps at the width of a terminal.
import assert from "node:assert/strict";
import fc from "fast-check";
import { reflow } from "./program.ts";

Deno.test("lines at the margin are reflowed, indented ones are only wrapped", () => {
  const text = "One two\nthree four.\n\nList:\n  1. alpha beta gamma\n  x  y\n";
  assert.equal(
    reflow(text, 14),
    "One two three\nfour.\n\nList:\n  1. alpha\n     beta\n     gamma\n  x  y\n",
  );
});

Deno.test("no word is lost and no line with a space to break at is too long", () => {
  const line = fc.string({ unit: fc.constantFrom("a", "b", " "), maxLength: 60 })
    .map((text) => text.trimEnd());
  fc.assert(fc.property(fc.array(line), fc.integer({ min: 20, max: 80 }), (lines, width) => {
    const flowed = reflow(lines.join("\n"), width);
    const wordsOf = (text: string) => text.split(/\s+/).filter((word) => word !== "");
    assert.deepEqual(wordsOf(flowed), wordsOf(lines.join("\n")));
    for (const one of flowed.split("\n")) {
      assert.ok(one.length <= width || !/\S \S/.test(one.slice(0, width)), one);
    }
  }));
});
