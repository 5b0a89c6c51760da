/**
 * The stored form of a ban, and the invalid ones that readers refuse. `shield/auth/bans_test.ts` tests the effect of
 * bans. The stored form of revocations: encoding and decoding are inverse, and invalid ones are refused.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Ban,
  BAN_REASON_UNITS_MAX,
  banKey,
  decodeBan,
  encodeBan,
  EVERY_ROOM,
  isActive,
  parseBanKey,
} from "./bans.ts";
import {
  decodeRevocation,
  encodeRevocation,
  EVERY_TOKEN,
  isIssuedBefore,
  parseRevocationKey,
  type Revocation,
  revocationKey,
  widest,
} from "./revocations.ts";

const BAN: Ban = {
  user_id: "ann",
  room_id: "lobby",
  until_ms: 1_767_323_045_000,
  reason: "spam",
  by: "moderator",
  created_ms: 1_767_000_000_000,
};

const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

const user = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 })
  .filter((text) => new TextEncoder().encode(text).length <= 128);
const room = fc.oneof(fc.constant(EVERY_ROOM), fc.stringMatching(/^[A-Za-z0-9_~:=-]{1,64}$/));

Deno.test("every ban decodes to the encoded one", () => {
  const time_ms = fc.nat({ max: 8_640_000_000_000_000 });
  const ban: fc.Arbitrary<Ban> = fc.record({
    user_id: user,
    room_id: room,
    until_ms: time_ms,
    reason: fc.string({ unit: "grapheme", maxLength: 20 }),
    by: fc.string({ maxLength: 20 }),
    created_ms: time_ms,
  }, { noNullPrototype: true });
  fc.assert(fc.property(ban, (one) => assert.deepEqual(decodeBan(encodeBan(one)), one)));
});

Deno.test("a ban's key has tenant, room and user, and other keys are no bans", () => {
  fc.assert(fc.property(room, user, (room_id, user_id) => {
    const key = banKey("acme", room_id, user_id);
    assert.deepEqual(parseBanKey(key), { tenant_id: "acme", room_id, user_id });
  }));
  const foreign = [
    [],
    ["acme"],
    ["acme", "lobby"],
    ["acme", "lobby", ""],
    ["acme", "lobby", "ann", "more"],
    ["a.b", "lobby", "ann"],
    ["acme", "lob by", "ann"],
    ["acme", "**", "ann"],
    ["acme", "lobby", "a".repeat(129)],
    ["acme", "lobby", "\ud800"],
  ];
  for (const key of foreign) assert.equal(parseBanKey(key), undefined, JSON.stringify(key));
});

Deno.test("an invalid stored ban is refused with the problem", () => {
  const stored = JSON.parse(new TextDecoder().decode(encodeBan(BAN)));
  const { reason: _reason, ...without_reason } = stored;
  const cases: [value: unknown, text: RegExp][] = [
    [null, /it:/],
    [{}, /user_id/],
    [without_reason, /reason/],
    [{ ...stored, format: 0 }, /format/],
    [{ ...stored, colour: 1 }, /colour/],
    [{ ...stored, user_id: "" }, /user_id: expected 1 to 128 bytes/],
    [{ ...stored, user_id: "é".repeat(65) }, /user_id/],
    [{ ...stored, room_id: "a.b" }, /room_id: expected a room id or "\*"/],
    [{ ...stored, until_ms: -1 }, /until_ms/],
    [{ ...stored, until_ms: 1.5 }, /until_ms/],
    [{ ...stored, until_ms: "1" }, /until_ms/],
    [{ ...stored, until_ms: Number.MAX_SAFE_INTEGER }, /until_ms/],
    [{ ...stored, reason: "x".repeat(BAN_REASON_UNITS_MAX + 1) }, /reason/],
  ];
  for (const [value, text] of cases) {
    const message = new RegExp(`^not a ban: .*${text.source}`);
    assert.throws(() => decodeBan(bytesOf(value)), { name: "TypeError", message });
  }
  assert.throws(() => decodeBan(new Uint8Array([0xff])), /it is not JSON/);
  assert.throws(() => decodeBan(encodeBan(BAN).subarray(0, -1)), /it is not JSON/);
});

Deno.test("an invalid ban is not written", () => {
  assert.throws(() => encodeBan({ ...BAN, user_id: "" }), /user_id/);
  assert.throws(() => encodeBan({ ...BAN, room_id: "" }), /room_id/);
  assert.throws(() => encodeBan({ ...BAN, until_ms: Number.NaN }), /until_ms/);
});

Deno.test("a ban lasts until its expiry, and permanently without one", () => {
  assert(isActive(BAN, BAN.until_ms - 1));
  assert(!isActive(BAN, BAN.until_ms));
  assert(isActive({ until_ms: 0 }, Number.MAX_SAFE_INTEGER));
});

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
      if (isActive(one, at_ms)) assert.ok(isActive(both, at_ms));
      if (isIssuedBefore(one, issued_ms)) assert.ok(isIssuedBefore(both, issued_ms));
    }
  }));
});
