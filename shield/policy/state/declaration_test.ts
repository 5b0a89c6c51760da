/** Valid and refused declarations of a policy's state, and how keys are filled. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { filledKey, type KeySource, parseStateKeys } from "./declaration.ts";

const one = (key: string) => JSON.stringify([{ key, ttl_seconds: 60, value_bytes: 16 }]);
const slotOf = (key: string) => parseStateKeys(one(key))[0]!;

function source(
  own: Record<string, string> = {},
  sent: readonly (readonly [string, string])[] = [],
  claims: Record<string, unknown> = {},
): KeySource {
  const headers = [
    ...sent,
    ...Object.entries(own).map(([name, value]) => [`x-arqon-${name}`, value] as const),
  ];
  return { tenant_id: "acme", connection_id: "c1", facts: () => ({ headers, claims }) };
}

Deno.test("each placeholder is replaced by its value of the operation, or null", () => {
  const about = source(
    { room: "chat-1", user: "u1", type: "chat.said" },
    [["X-Device", "phone"], ["x-device", "other"]],
    { plan: "free", level: 3 },
  );
  const key = "{tenant}/{room}/{user}/{connection}/{type}/{claim.plan}/{claim.level}" +
    "/{header.x-DEVICE}/{claim.none}/{header.none}";
  assert.deepEqual(JSON.parse(filledKey(slotOf(key), about)), [
    ...["acme", "chat-1", "u1", "c1", "chat.said", "free", "3", "phone"],
    ...[null, null],
  ]);
});

Deno.test("a long value is in the key as its SHA-256", () => {
  for (const room of ["r".repeat(257), "é😀".repeat(200), "x".repeat(16_384)]) {
    const sha256 = createHash("sha256").update(room).digest("hex");
    assert.equal(filledKey(slotOf("{room}"), source({ room })), JSON.stringify([{ sha256 }]));
  }
  const short = "r".repeat(256);
  assert.equal(filledKey(slotOf("{room}"), source({ room: short })), JSON.stringify([short]));
});

Deno.test("a client's header cannot replace one of the Shield's own", () => {
  const forged = source({ user: "u1" }, [["x-other", "u2"]]);
  assert.equal(filledKey(slotOf("{user}"), forged), '["u1"]');
});

Deno.test("two operations have the same key exactly if all values are the same", () => {
  const slot = slotOf("{room}/{header.a}/{user}");
  const value = fc.string({ maxLength: 3 });
  fc.assert(fc.property(value, value, value, value, value, value, (...[a, b, c, d, e, f]) => {
    const filled = (room: string, header: string, user: string) =>
      filledKey(slot, source({ room, user }, [["a", header]]));
    const same = a === d && b === e && c === f;
    assert.equal(filled(a, b, c) === filled(d, e, f), same);
  }));
});

const SMALL = { key: "a", ttl_seconds: 1, value_bytes: 1 };
const BAD: Readonly<Record<string, string>> = {
  "no JSON": "[{",
  "no list": "{}",
  "five keys": JSON.stringify(Array(5).fill(SMALL)),
  "a key twice": JSON.stringify(Array(2).fill(SMALL)),
  "an unknown placeholder": one("{who}"),
  "a claim without a name": one("{claim.}"),
  "a single brace": one("{tenant"),
  "braces in braces": one("{{tenant}}"),
  "an empty key": one(""),
  "no time": JSON.stringify([{ key: "a", value_bytes: 1 }]),
  "more than a day": JSON.stringify([{ key: "a", ttl_seconds: 86_401, value_bytes: 1 }]),
  "half a second": JSON.stringify([{ key: "a", ttl_seconds: 0.5, value_bytes: 1 }]),
  "no room": JSON.stringify([{ key: "a", ttl_seconds: 1, value_bytes: 0 }]),
  "a value that is too large": JSON.stringify([{ key: "a", ttl_seconds: 1, value_bytes: 4_097 }]),
  "an unknown member": JSON.stringify([{ key: "a", ttl_seconds: 1, value_bytes: 1, b: 1 }]),
};

for (const [what, json] of Object.entries(BAD)) {
  Deno.test(`a declaration with ${what} is refused with a sentence`, () => {
    const problem = { name: "PolicyModuleError", reason: "state-keys", message: /.{11}/s };
    assert.throws(() => parseStateKeys(json), problem);
  });
}

Deno.test("up to four keys are accepted, and also none", () => {
  const four = ["{user}", "{room}", "{type}", "all"].map((key) => (
    { key, ttl_seconds: 86_400, value_bytes: 4_096 }
  ));
  assert.equal(parseStateKeys(JSON.stringify(four)).length, 4);
  assert.deepEqual(parseStateKeys("[]"), []);
});
