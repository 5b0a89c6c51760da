/** A replication stream in any pieces arrives whole, but for what is longer than the bound. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { Copies } from "./copies.ts";

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
