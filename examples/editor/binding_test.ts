// The change that typing makes, and where a cursor is after others have written.
import assert from "node:assert/strict";
import fc from "fast-check";
import { changeOf, moved } from "./binding.ts";

Deno.test("a change is the smallest one that ends at the cursor", () => {
  assert.deepEqual(changeOf("one", "one two", 7), { at: 3, deleted: 0, inserted: " two" });
  assert.deepEqual(changeOf("one two", "one", 3), { at: 3, deleted: 4, inserted: "" });
  // The cursor decides which of the equal letters is new.
  assert.deepEqual(changeOf("aaa", "aaaa", 1), { at: 0, deleted: 0, inserted: "a" });
  assert.deepEqual(changeOf("aaa", "aaaa", 4), { at: 3, deleted: 0, inserted: "a" });
  assert.deepEqual(changeOf("abc", "aXc", 2), { at: 1, deleted: 1, inserted: "X" });
});

Deno.test("for any edit the change turns the old text into the new one", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "\n"), maxLength: 12 });
  fc.assert(fc.property(text, text, fc.nat({ max: 12 }), (before, after, at) => {
    const change = changeOf(before, after, Math.min(at, after.length));
    const head = before.slice(0, change.at);
    const tail = before.slice(change.at + change.deleted);
    assert.equal(head + change.inserted + tail, after);
  }));
});

Deno.test("a cursor stays at its letter while others write", () => {
  assert.equal(moved(5, [{ retain: 2 }, { insert: "abc" }]), 8);
  assert.equal(moved(5, [{ retain: 5 }, { insert: "abc" }]), 5);
  assert.equal(moved(5, [{ retain: 1 }, { delete: 2 }]), 3);
  assert.equal(moved(5, [{ retain: 4 }, { delete: 9 }]), 4);
  assert.equal(moved(5, [{ delete: 2 }, { insert: "x" }, { retain: 9 }, { insert: "y" }]), 4);
});
