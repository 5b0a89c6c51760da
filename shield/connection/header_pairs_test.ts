/** Header pairs that connections share. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { HeaderPairs } from "./entrance.ts";
import type { HeaderPair } from "../message/caller.ts";

const pair: fc.Arbitrary<HeaderPair> = fc.tuple(
  fc.constantFrom("host", "user-agent", "origin", "x-team"),
  fc.oneof(fc.constantFrom("a", "b"), fc.string(), fc.string({ minLength: 250, maxLength: 260 })),
);

Deno.test("for any sharing, every connection has the headers that it sent", () => {
  const pairs = new HeaderPairs();
  fc.assert(fc.property(fc.array(pair), (headers) => {
    assert.deepEqual(pairs.shared(headers), headers);
  }));
});

Deno.test("similar clients share pairs, but not individual ones", () => {
  const pairs = new HeaderPairs();
  const sent = (): HeaderPair[] => [["user-agent", "test/1"], ["x-key", "1"], ["host", "bus"]];
  const first = pairs.shared(sent());
  const second = pairs.shared(sent());
  assert.equal(first[0], second[0]);
  assert.notEqual(first[1], second[1]);
  assert.equal(first[2], second[2]);
});

Deno.test("a client with invented headers cannot fill the cache, and long ones are not cached", () => {
  const pairs = new HeaderPairs();
  for (let made_up = 0; made_up < 5_000; made_up++) {
    pairs.shared([["user-agent", `${made_up}`]]);
    assert.ok(pairs.size <= 1_000);
  }
  const { size } = pairs;
  pairs.shared([["origin", "a".repeat(257)]]);
  assert.equal(pairs.size, size);
});
