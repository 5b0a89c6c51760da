/** The stored form of revocations: encoding and decoding are inverse, and invalid ones are refused. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decodeRevocation,
  encodeRevocation,
  EVERY_TOKEN,
  isInForce,
  isIssuedBefore,
  parseRevocationKey,
  revocationKey,
  widest,
} from "./revocations.ts";
import type { Revocation } from "./revocations.ts";

const time = fc.integer({ min: 1, max: 8_640_000_000_000_000 });
const name = fc.string({ minLength: 1, maxLength: 30 }).filter((text) => text.isWellFormed());
const revocation: fc.Arbitrary<Revocation> = fc.record({
  about: fc.oneof(
    fc.record({ kind: fc.constant("user" as const), id: name, issued_before_ms: time }),
    fc.record({ kind: fc.constant("token" as const), id: name, issued_before_ms: fc.constant(0) }),
    fc.record({
      kind: fc.constant("issued-before" as const),
      id: fc.constant(EVERY_TOKEN),
      issued_before_ms: time,
    }),
  ),
  rest: fc.record({
    until_ms: fc.oneof(fc.constant(0), time),
    reason: fc.string({ maxLength: 256 }),
    by: fc.string({ maxLength: 256 }),
    created_ms: time,
  }),
}).map(({ about, rest }) => ({ ...about, ...rest }));

Deno.test("a revocation and its key decode to the encoded ones", () => {
  fc.assert(fc.property(revocation, (one) => {
    assert.deepEqual(decodeRevocation(encodeRevocation(one)), one);
    const { kind, id } = one;
    assert.deepEqual(parseRevocationKey(revocationKey("acme", one)), {
      tenant_id: "acme",
      kind,
      id,
    });
  }));
});

Deno.test("any other bytes and keys are refused with a TypeError", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    assert.throws(() => decodeRevocation(bytes), TypeError);
  }));
  const good = JSON.parse(
    new TextDecoder().decode(encodeRevocation(fc.sample(revocation, { numRuns: 1, seed: 7 })[0]!)),
  );
  const decoding = (change: object) => () =>
    decodeRevocation(new TextEncoder().encode(JSON.stringify({ ...good, ...change })));
  assert.throws(decoding({ format: 2 }), /format/);
  assert.throws(decoding({ more: 1 }), /Unrecognized/);
  assert.throws(decoding({ kind: "room" }), /kind/);
  assert.throws(
    decoding({ kind: "token", id: "", issued_before_ms: 0 }),
    /id: expected 1 to 512 bytes/,
  );
  assert.throws(decoding({ kind: "user", id: "a", issued_before_ms: 0 }), /issued_before_ms/);
  for (
    const key of [
      [],
      ["acme"],
      ["acme", "user"],
      ["acme", "room", "x"],
      ["a.b", "user", "x"],
      ["acme", "issued-before", "x"],
      ["acme", "user", "x".repeat(129)],
      ["acme", "token", "x".repeat(513)],
      ["acme", "user", "x", "y"],
    ]
  ) assert.equal(parseRevocationKey(key), undefined, JSON.stringify(key));
});

Deno.test("a token without an issue time counts as issued before", () => {
  const rule = { issued_before_ms: 5_000 };
  assert.equal(isIssuedBefore(rule, 4_999), true);
  assert.equal(isIssuedBefore(rule, 5_000), false);
  assert.equal(isIssuedBefore(rule, undefined), true);
});

Deno.test("two revocations of the same target together cover the tokens of both", () => {
  fc.assert(fc.property(revocation, revocation, time, time, (a, b, at_ms, issued_ms) => {
    const both = widest(a, { ...b, kind: a.kind, id: a.id });
    for (const one of [a, b]) {
      if (isInForce(one, at_ms)) assert.ok(isInForce(both, at_ms));
      if (isIssuedBefore(one, issued_ms)) assert.ok(isIssuedBefore(both, issued_ms));
    }
  }));
});
