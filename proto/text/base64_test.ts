/** Base64 compared with Node's, and invalid base64. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { decodeBase64, encodeBase64 } from "./base64.ts";

/** Bytes in an engine that can encode them itself, and in one that cannot. */
const inEngines = (bytes: Uint8Array) => [
  bytes,
  Object.defineProperty(bytes.slice(), "toBase64", { value: undefined }),
];

Deno.test("base64 goes both ways, as Node has it", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (given) => {
    for (const bytes of inEngines(given)) {
      const text = encodeBase64(bytes);
      assert.equal(text, Buffer.from(bytes).toString("base64"));
      assert.deepEqual(Array.from(decodeBase64(text) ?? []), Array.from(bytes));
    }
  }));
});

Deno.test("a megabyte is encoded without running out of stack", () => {
  for (const bytes of inEngines(new Uint8Array(1_048_576).fill(0xab))) {
    assert.equal(encodeBase64(bytes), Buffer.from(bytes).toString("base64"));
  }
});

Deno.test("wrong length, padding, alphabet or spaces are not base64", () => {
  for (
    const text of ["A", "AB", "ABC", "A===", "AB=C", "AB-_", "AB C", " ABCD", "ABCD\n", "é==="]
  ) {
    assert.equal(decodeBase64(text), undefined, text);
  }
});
