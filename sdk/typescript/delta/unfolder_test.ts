/** Diffs against the npm package, and frames with deltas as a client by the book gets them. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { applyDelta, createDelta } from "fossil-delta";
import { encodeSub, findData, Opcode, withData, writeEnvelope } from "@arqon/proto";
import { applyFossil } from "./diffs.ts";
import { Unfolder } from "./unfolder.ts";

const bytes = fc.uint8Array({ maxLength: 400, max: 3 });
const MAX = 1_000;

Deno.test("diffs of the npm package are applied with its results, within a limit", () => {
  fc.assert(fc.property(bytes, bytes, fc.nat(400), (base, other, at) => {
    const data = new Uint8Array([...base.subarray(0, at), ...other, ...base.subarray(at)]);
    const diff = createDelta(base, data) as Uint8Array;
    assert.deepEqual(applyDelta(base, diff), data);
    assert.deepEqual(applyFossil(base, diff, MAX), data);
    assert.equal(applyFossil(base, diff, data.length - 1), undefined);
  }));
});

Deno.test("a diff with one byte changed, removed or added gives the same data or none", () => {
  fc.assert(fc.property(bytes, bytes, fc.nat(), fc.nat(255), (base, other, at, byte) => {
    const data = new Uint8Array([...base, ...other]);
    const diff = createDelta(base, data) as Uint8Array;
    const changed = diff.slice();
    changed[at % diff.length] = byte;
    for (
      const bad of [changed, diff.subarray(0, at % diff.length), new Uint8Array([...diff, byte])]
    ) {
      const made = applyFossil(base, bad, MAX);
      // The checksum does not detect everything, but the result must never exceed the limit.
      assert.ok(made === undefined || made.length <= MAX);
    }
    assert.equal(applyFossil(base, diff.subarray(0, -1), MAX), undefined);
    assert.equal(applyFossil(base, new Uint8Array([...diff, byte]), MAX), undefined);
  }));
});

const text = (value: string) => new TextEncoder().encode(value);
const LONG = "all of it stays, and the number changes: ";

function message(data: Uint8Array, delta?: { number: number; base: number }) {
  const frame = writeEnvelope(
    { room_id: "a", offset: 7, event: { type: "t", data: new Uint8Array([1]) } },
    Opcode.MSG,
  );
  return withData(frame, findData(frame.subarray(1))!, data, delta && { slot: 2, ...delta });
}

const diffOf = (from: string, to: string) => createDelta(text(from), text(to)) as Uint8Array;

Deno.test("a SUB for whole messages without effect is sent again, each time after twice as many", () => {
  const unfolder = new Unfolder(1_000_000);
  unfolder.sent(encodeSub({ room_id: "a" }));
  const lost = message(diffOf(LONG + 4, LONG + 5), { number: 5, base: 4 });
  const askedAt = (messages: number) =>
    Array.from({ length: messages }, (_, at) => {
      unfolder.received(lost);
      return unfolder.takeSubs().length > 0 ? [at + 1] : [];
    }).flat();
  assert.deepEqual(askedAt(300), [1, 64, 128, 256]);
  unfolder.received(message(text(LONG + 6), { number: 6, base: 0 }));
  assert.deepEqual(askedAt(70), [1, 64]);
});
