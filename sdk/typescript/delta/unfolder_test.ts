/** Diffs against the npm package, and frames with deltas as a client by the book gets them. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { applyDelta, createDelta } from "fossil-delta";
import { decodeServerFrame, encodeBatch, encodeSub, encodeUnsub, findData } from "@arqon/proto";
import { Opcode, readSubscribe, withData, writeEnvelope } from "@arqon/proto";
import { applyFossil } from "./diffs.ts";
import { Unfolder } from "./unfolder.ts";

const bytes = fc.uint8Array({ maxLength: 400, max: 3 });
const MAX = 1_000;

Deno.test("what the npm package makes is applied as it applies it, within a bound", () => {
  fc.assert(fc.property(bytes, bytes, fc.nat(400), (base, other, at) => {
    const data = new Uint8Array([...base.subarray(0, at), ...other, ...base.subarray(at)]);
    const diff = createDelta(base, data) as Uint8Array;
    assert.deepEqual(applyDelta(base, diff), data);
    assert.deepEqual(applyFossil(base, diff, MAX), data);
    assert.equal(applyFossil(base, diff, data.length - 1), undefined);
  }));
});

Deno.test("a diff with one byte changed, cut or added gives the same data or none", () => {
  fc.assert(fc.property(bytes, bytes, fc.nat(), fc.nat(255), (base, other, at, byte) => {
    const data = new Uint8Array([...base, ...other]);
    const diff = createDelta(base, data) as Uint8Array;
    const changed = diff.slice();
    changed[at % diff.length] = byte;
    for (
      const bad of [changed, diff.subarray(0, at % diff.length), new Uint8Array([...diff, byte])]
    ) {
      const made = applyFossil(base, bad, MAX);
      // The sum of words does not see everything; what this must never do is to go out of bounds.
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

/** What the SDK reads of a frame: the text of each message, or the reason of its gap. */
function read(frame: Uint8Array): string[] {
  const decoded = decodeServerFrame(frame);
  const all = decoded.kind === "msg"
    ? [decoded.envelope]
    : decoded.kind === "batch"
    ? decoded.envelopes
    : [];
  return all.map(({ event, signal, offset }) => {
    assert.equal(offset, 7);
    return event === undefined
      ? `${signal?.kind} ${signal?.reason}`
      : new TextDecoder().decode(event.data);
  });
}

const diffOf = (from: string, to: string) => createDelta(text(from), text(to)) as Uint8Array;

Deno.test("messages come whole; one whose base is not there is a gap, and one SUB asks for whole ones", () => {
  const unfolder = new Unfolder(1_000_000);
  const sub = encodeSub({
    room_id: "a",
    request_id: 9,
    after_offset: 4,
    epoch: "e",
    no_echo: true,
  });
  assert.equal(readSubscribe(unfolder.sent(sub).subarray(1)).delta, true);
  const one = unfolder.received(message(text(LONG + 1), { number: 1, base: 0 }));
  assert.deepEqual(one, message(text(LONG + 1)));
  const diff = message(diffOf(LONG + 1, LONG + 2), { number: 2, base: 1 });
  const next = message(diffOf(LONG + 2, LONG + 3), { number: 3, base: 2 });
  const batch = encodeBatch([
    diff.subarray(1),
    message(text("as ever")).subarray(1),
    next.subarray(1),
  ]);
  assert.deepEqual(read(unfolder.received(batch)), [LONG + 2, "as ever", LONG + 3]);
  assert.deepEqual(unfolder.takeSubs(), []);
  for (const _ of [1, 2]) {
    const lost = unfolder.received(message(diffOf(LONG + 4, LONG + 5), { number: 5, base: 4 }));
    assert.deepEqual(read(lost), ["GAP delta"]);
  }
  const [again, ...more] = unfolder.takeSubs();
  assert.deepEqual(more, []);
  const asked = readSubscribe(again!.subarray(1));
  assert.deepEqual([asked.request_id, asked.after_offset, asked.epoch], [0, 0, ""]);
  assert.deepEqual([asked.room_id, asked.no_echo, asked.delta], ["a", true, true]);
  assert.deepEqual(read(unfolder.received(message(text(LONG + 6), { number: 6, base: 0 }))), [
    LONG + 6,
  ]);
  // The number is right, but the data is not: the checksum says so.
  const wrong = message(diffOf(LONG.toUpperCase() + 6, LONG.toUpperCase() + 7), {
    number: 7,
    base: 6,
  });
  assert.deepEqual(read(unfolder.received(wrong)), ["GAP delta"]);
  assert.equal(unfolder.takeSubs().length, 1);
});

Deno.test("after an UNSUB nothing is kept; frames without deltas are the same object", () => {
  const unfolder = new Unfolder(1_000_000);
  unfolder.sent(encodeSub({ room_id: "a" }));
  unfolder.received(message(text(LONG + 1), { number: 1, base: 0 }));
  unfolder.sent(encodeUnsub({ room_id: "a" }));
  const diff = message(diffOf(LONG + 1, LONG + 2), { number: 2, base: 1 });
  assert.deepEqual(read(unfolder.received(diff)), ["GAP delta"]);
  assert.deepEqual(unfolder.takeSubs(), []);
  const torn = new Uint8Array([Opcode.MSG, 0x1a, 1, 97, 0xaa, 1, 9]);
  for (const frame of [message(text("plain")), torn, new Uint8Array([Opcode.PING, 1])]) {
    assert.equal(unfolder.received(frame), frame);
  }
});

Deno.test("a SUB for whole messages that brings none is sent again, each time after twice as many", () => {
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
