/** Shrinking: the result still has the property, and no part of it can be removed. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { shrinkPayload } from "./case_file.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("shrink: a text shrinks to the word alone, wherever it was", () => {
  const around = fc.string({ unit: "grapheme", maxLength: 80 });
  fc.assert(fc.property(around, around, (before, after) => {
    const has = (bytes: Uint8Array) => decode(bytes).includes("malware");
    assert.equal(decode(shrinkPayload(encode(`x${before}malware${after}`), has)), "malware");
  }));
});

Deno.test("shrink: JSON stays JSON, and only what the property needs is left of it", () => {
  const message = { id: 77, tags: ["a", "b"], user: { name: "ann", text: "some malware here" } };
  const has = (bytes: Uint8Array) => {
    const { user } = JSON.parse(decode(bytes));
    return typeof user?.text === "string" && user.text.includes("malware");
  };
  const small = shrinkPayload(encode(JSON.stringify(message)), has);
  assert.deepEqual(JSON.parse(decode(small)), { user: { text: "malware" } });
  const spaced = encode('{ "a": 1 }');
  assert.equal(shrinkPayload(spaced, (bytes) => bytes.length === spaced.length), spaced);
});

Deno.test("shrink: bytes that are no text are shrunk as bytes", () => {
  const bytes = Uint8Array.from([1, 255, 2, 254, 3]);
  const has = (one: Uint8Array) => one.includes(255) && one.includes(254);
  assert.deepEqual([...shrinkPayload(bytes, has)], [255, 254]);
});
