/** The valid presence options of a SUB. */
import assert from "node:assert/strict";
import { presenceRequest } from "./service.ts";

const LIMITS = { member_meta_bytes: 10 };
const SUB = {
  room_id: "a",
  request_id: 1,
  presence: true,
  observer: false,
  no_echo: false,
  batch: false,
  member_meta: new Uint8Array(),
  after_offset: 0,
  epoch: "",
  filter: "",
  positions: new Uint8Array(),
  delta: false,
  delta_bytes: 0,
  vcdiff: false,
};
const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("a SUB without presence requests none", () => {
  assert.equal(presenceRequest({ ...SUB, presence: false }, LIMITS), undefined);
});

Deno.test("a member may have metadata, which is unchanged", () => {
  assert.deepEqual(presenceRequest(SUB, LIMITS), { is_member: true, meta: "" });
  const member_meta = bytes('{ "a":  1}');
  const presence_request = presenceRequest({ ...SUB, member_meta }, LIMITS);
  assert.deepEqual(presence_request, { is_member: true, meta: '{ "a":  1}' });
  assert.deepEqual(presenceRequest({ ...SUB, observer: true }, LIMITS), {
    is_member: false,
    meta: "",
  });
});

Deno.test("contradictory options and invalid JSON are refused", () => {
  const cases: [string, Partial<typeof SUB>][] = [
    ["metadata without presence", { presence: false, member_meta: bytes("1") }],
    ["an observer without presence", { presence: false, observer: true }],
    ["an observer's metadata", { observer: true, member_meta: bytes("1") }],
    ["no JSON", { member_meta: bytes("{") }],
    ["no UTF-8", { member_meta: new Uint8Array([0x22, 0xff, 0x22]) }],
    ["a byte order mark", { member_meta: bytes("\ufeff1") }],
  ];
  for (const [name, change] of cases) {
    const refused = { reason: "invalid-field", code: 400 };
    assert.throws(() => presenceRequest({ ...SUB, ...change }, LIMITS), refused, name);
  }
});

Deno.test("metadata is limited in bytes", () => {
  const member_meta = bytes('"€€€"');
  const refused = { reason: "message-too-large", code: 413, message: /11 bytes; at most 10/ };
  assert.throws(() => presenceRequest({ ...SUB, member_meta }, LIMITS), refused);
});

Deno.test("metadata that many parsers reject is refused", () => {
  const limits = { member_meta_bytes: 4_096 };
  const deep = (levels: number) => bytes("[".repeat(levels) + "]".repeat(levels));
  assert.ok(presenceRequest({ ...SUB, member_meta: deep(96) }, limits));
  const refused = { reason: "invalid-field", message: /nested more than 96 levels deep/ };
  assert.throws(() => presenceRequest({ ...SUB, member_meta: deep(97) }, limits), refused);
});
