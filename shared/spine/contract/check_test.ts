/** Fast and cached checks give the same result as the rules. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { assertSubject, headerBytes } from "./check.ts";

const encoder = new TextEncoder();

/** A value that NATS carries unchanged: no control characters, no white space at its ends. */
function isCarried(value: string): boolean {
  return value.isWellFormed() && !/\p{Cc}/u.test(value) && !/^\s|\s$/.test(value);
}

Deno.test("a header is accepted if NATS carries it, and counts with its size in bytes", () => {
  const unit = fc.oneof(
    fc.constantFrom(" ", "~", "!", "\x7f", "\t", "\r", "\n", "\0", "é", "日", "\u00a0", "\ud800"),
    fc.string({ minLength: 1, maxLength: 1 }),
  );
  const text = fc.array(unit, { maxLength: 6 }).map((units) => units.join(""));
  fc.assert(
    fc.property(text, (value) => {
      if (!isCarried(value)) return assert.throws(() => headerBytes({ name: value }), TypeError);
      const line = encoder.encode(`name: ${value}\r\n`);
      assert.equal(headerBytes({ name: value }), line.length + 12);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("an invalid name or subject is refused each time, next to valid ones", () => {
  for (let times = 0; times < 3; times++) {
    assert.equal(headerBytes({ "x-order": "1" }), 7 + 1 + 4 + 12);
    assertSubject("in.t.acme.r.hall");
    for (const name of ["", "a b", "a:b", "é"]) {
      assert.throws(() => headerBytes({ [name]: "1" }), TypeError);
    }
    for (const subject of ["", "in.*", "in..r", "in.>", "a b", "a.".repeat(600) + "a"]) {
      assert.throws(() => assertSubject(subject), TypeError);
    }
  }
});
