/**
 * The stored form of a ban, and the invalid ones that readers refuse. `shield/auth/bans_test.ts` tests the effect of
 * bans.
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
