/** The stored history: encoding and decoding are inverse, and anything else is reported. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { COMPATIBILITY_MODES, isSchemaId } from "../../../shared/schema_id.ts";
import { PLAIN_KEYS } from "../../../shared/spine/contract/kv_key.ts";
import { decodeSchemaRecord, encodeSchemaRecord, latestOf, sha256Of } from "./store.ts";
import type { SchemaRecord } from "./store.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const version = (number: number) => {
  const sha256 = sha256Of(bytes(String(number)));
  return { version: number, sha256, size_bytes: number, registered_ms: number, by: "ops" };
};

Deno.test("a history is decoded as it was encoded, with members of later releases", () => {
  fc.assert(fc.property(
    fc.constantFrom(...COMPATIBILITY_MODES),
    fc.uniqueArray(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 20 }),
    fc.string(),
    (compatibility, numbers, later) => {
      const versions = numbers.sort((a, b) => a - b).map(version);
      const head: SchemaRecord = { format: 1, compatibility, versions, later };
      const read = decodeSchemaRecord(encodeSchemaRecord(head));
      assert.ok("head" in read);
      assert.deepEqual(read.head, head);
      assert.equal(latestOf(read.head).version, numbers.at(-1));
    },
  ));
});

Deno.test("invalid bytes of a history never throw and are reported as a problem", () => {
  fc.assert(fc.property(fc.uint8Array(), (noise) => {
    const read = decodeSchemaRecord(noise);
    assert.ok("problem" in read);
  }));
  const head = { format: 1, compatibility: "FULL", versions: [version(1)] };
  const cases: [object, RegExp][] = [
    [{ ...head, format: 2 }, /format/],
    [{ ...head, compatibility: "SOMETIMES" }, /compatibility/],
    [{ ...head, versions: [] }, /versions/],
    [{ ...head, versions: [version(2), version(2)] }, /ascend/],
    [{ ...head, versions: [{ ...version(1), sha256: "abc" }] }, /sha256/],
  ];
  for (const [given, text] of cases) {
    const read = decodeSchemaRecord(bytes(JSON.stringify(given)));
    assert.ok("problem" in read, JSON.stringify(given));
    assert.match(read.problem, text);
  }
});

Deno.test("an id has 1 to 128 of a fixed set of characters, and is a valid NATS key", () => {
  const good = ["a", "transit.v2", "A_b-1", "x".repeat(128), "v1.events.user_created", "a-.-b"];
  for (const id of good) assert.ok(isSchemaId(id), id);
  const bad = ["", "a b", "a/b", "ä", "a\n", "x".repeat(129), "a*", ".a", "a.", "a..b", "."];
  for (const id of bad) assert.ok(!isSchemaId(id), id);
  // The rules for keys of NATS clients, and of a plain bucket.
  const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,9}$/);
  fc.assert(fc.property(fc.array(token, { minLength: 1, maxLength: 12 }), (tokens) => {
    const id = tokens.join(".");
    assert.ok(isSchemaId(id));
    assert.match(id, /^[-/=.\w]+$/);
    assert.deepEqual(PLAIN_KEYS.decode(PLAIN_KEYS.encode(tokens)), tokens);
  }));
  assert.equal(PLAIN_KEYS.decode(Array(64).fill("a").join("."))?.length, 64, "the longest");
});
