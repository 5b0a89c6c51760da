/** Only signed messages are accepted. `tests/bridge_rights_test.ts` checks that PostgreSQL signs the same way. */
import assert from "node:assert/strict";
import { committedOf, signatureOf, unsignedOf } from "./wal.ts";

const KEY = new Uint8Array(64).fill(7);
const AT = { lsn: 9n, number: 0, xid: 5, commit_ms: 1_000.25, source: "7-00000001-5" };
const json = new TextEncoder().encode(
  JSON.stringify({ room: "a", type: "x", json: "1", message_id: null }),
);
const signed = (text: Uint8Array, key = KEY, xid = AT.xid) =>
  new Uint8Array([...signatureOf(text, key, xid), ...text]);

Deno.test("a message is accepted only with the signature of its own transaction", () => {
  assert.equal(committedOf(signed(json), KEY, AT)?.message_id, "pg-0-9-0-1000250");
  const others = [
    json,
    signed(json, new Uint8Array(64)),
    signed(json, KEY, 6),
    signed(json).with(40, 0x20),
    signed(json).subarray(1),
    ...[0, 1, 31, 32].map((end) => signed(json).subarray(0, end)),
    signed(new Uint8Array([0xff])),
    signed(new TextEncoder().encode("[]")),
  ];
  for (const [at, other] of others.entries()) {
    assert.equal(committedOf(other, KEY, AT), undefined, String(at));
  }
});

Deno.test("unsigned data is shown in a form that any database can store", () => {
  const { data, refusal, room } = unsignedOf(new Uint8Array([0, 0xff, 0x22, 0x41]), 2, AT);
  assert.deepEqual([JSON.parse(data), room], ['??"A', ""]);
  assert.match(refusal ?? "", /^2 messages without .*transaction 5$/);
  assert.equal(JSON.parse(unsignedOf(new Uint8Array(5_000), 1, AT).data).length, 1_000);
});
