/**
 * The messages of logical replication: positions, and truncated input; a stream in any pieces arrives whole, but for
 * what is longer than the bound; only signed messages are accepted. `tests/bridge_test.ts` reads those of a real
 * server, and `tests/bridge_rights_test.ts` checks that PostgreSQL signs the same way.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Progress } from "./intake.ts";
import { committedOf, lsnText, parseLsn, readChange, readWal, signatureOf } from "./wal.ts";
import { statusUpdate, unsignedOf } from "./wal.ts";
import { Buffer } from "node:buffer";
import { Copies } from "./copies.ts";

Deno.test("a position can be parsed again, and anything else is invalid", () => {
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (lsn) => {
    assert.equal(parseLsn(lsnText(lsn)), lsn);
  }));
  assert.equal(lsnText(0x16_B374D848n), "16/B374D848");
  for (const text of ["", "16", "16/", "/16", "G/1", "1/123456789", "1/1 "]) {
    assert.throws(() => parseLsn(text), TypeError);
  }
});

Deno.test("a truncated message is an error, and never a message", () => {
  const text = new TextEncoder().encode("arqon\0");
  const whole = new Uint8Array([
    ...new Uint8Array([0x77]),
    ...new Uint8Array(24),
    ...[0x4d, 1, 0, 0, 0, 0, 0, 0, 0, 9],
    ...text,
    ...[0, 0, 0, 2, 0x7b, 0x7d],
  ]);
  assert.deepEqual(readWal(whole), {
    kind: "message",
    prefix: "arqon",
    content: new Uint8Array([0x7b, 0x7d]),
  });
  for (let end = 0; end < whole.length; end++) {
    assert.throws(() => readWal(whole.subarray(0, end)), RangeError, String(end));
  }
});

Deno.test("a prefix of another program need not be UTF-8", () => {
  const change = [0x4d, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0, 0, 0, 0, 1, 0x7b];
  const { kind } = readChange(new Uint8Array(change));
  assert.equal(kind, "message");
});

Deno.test("of an overlong message the beginning can be read, whatever its prefix", () => {
  const head = [0x4d, 1, 0, 0, 0, 0, 0, 0, 0, 9];
  const text = (prefix: string) => [...new TextEncoder().encode(`${prefix}\0`)];
  const begun = (prefix: string) =>
    readChange(
      new Uint8Array([...head, ...text(prefix), 9, 9, 9, 9, 0x7b]).subarray(0, 2_000),
      true,
    );
  assert.deepEqual(begun("arqon"), {
    kind: "message",
    prefix: "arqon",
    content: new Uint8Array([0x7b]),
  });
  for (const size of [1_500, 1_985, 1_989, 1_990, 3_000]) {
    assert.deepEqual(begun("x".repeat(size)), { kind: "other" });
  }
});

Deno.test("a status update has the position three times", () => {
  const view = new DataView(statusUpdate(7n, 946_684_800_001).buffer);
  assert.deepEqual([1, 9, 17].map((at) => view.getBigUint64(at)), [7n, 7n, 7n]);
  assert.equal(view.getBigInt64(25), 1_000n);
});

Deno.test("the bridge is as far as the first transaction that is not over, in whatever order they end", () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 12 });
  fc.assert(fc.property(sizes, fc.infiniteStream(fc.nat()), (counts, picks) => {
    const progress = new Progress(0n);
    const open: { readonly at: number; readonly over: () => void }[] = [];
    const left = [...counts];
    for (const [at, count] of counts.entries()) {
      progress.begin(1_000 + at);
      for (let n = 0; n < count; n++) open.push({ at, over: progress.message() });
      progress.commit(BigInt(at + 1));
    }
    for (;;) {
      const first = left.findIndex((count) => count > 0);
      const done = first < 0 ? counts.length : first;
      assert.equal(progress.done_lsn, BigInt(done));
      // The time is not that of a later transaction that is already settled.
      assert.equal(progress.done_ms, done === 0 ? 0 : 1_000 + done - 1);
      if (open.length === 0) return;
      const pick = (picks.next().value as number) % open.length;
      const [one] = open.splice(pick, 1);
      left[one!.at]!--;
      one!.over();
    }
  }));
});

const MOST = 20;

function message(kind: string, body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.write(kind);
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

Deno.test("bridge: of a longer message of the log only the beginning is kept, however the stream is cut", () => {
  const one = fc.record({
    kind: fc.constantFrom("d", "d", "W", "N"),
    body: fc.uint8Array({ maxLength: 3 * MOST }),
  });
  const run = fc.record({
    messages: fc.array(one, { maxLength: 8 }),
    sizes: fc.array(fc.integer({ min: 1, max: 2 * MOST }), { minLength: 1 }),
  });
  fc.assert(fc.property(run, ({ messages, sizes }) => {
    const sent = Buffer.concat(messages.map(({ kind, body }) => message(kind, body)));
    const copies = new Copies(MOST);
    const got: Buffer[] = [];
    for (let at = 0, turn = 0; at < sent.length; turn++) {
      const size = sizes[turn % sizes.length]!;
      const pieces = copies.pieces(sent.subarray(at, at + size));
      assert.ok(pieces.every(({ length }) => length > 0));
      got.push(...pieces);
      at += size;
    }
    const kept = messages.map(({ kind, body }) =>
      message(kind, kind === "d" ? body.subarray(0, MOST) : body)
    );
    assert.deepEqual(Buffer.concat(got), Buffer.concat(kept));
  }));
});

Deno.test("bridge: what is within the bound is passed on without a copy", () => {
  const bytes = Buffer.concat([message("d", Buffer.alloc(MOST)), message("d", Buffer.alloc(3))]);
  const [piece, ...more] = new Copies(MOST).pieces(bytes);
  assert.deepEqual([piece?.buffer, piece?.length, more], [bytes.buffer, bytes.length, []]);
});

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
