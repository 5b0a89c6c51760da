/**
 * The ring compared with a model, on one thread. The tests of workers test it across threads. The wake-ups of a ring's
 * reader, counted on one thread. Heads of records that are written one after the other, small and large.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createSender, openRing, recordBytes, Records, type Ring, ringMemory } from "./ring.ts";
import { ringPut, ringPutBlocking, ringSignal, ringSignals, ringTake } from "./ring.ts";
import { ringWait, ringWaitBlocking } from "./ring.ts";
import type { RingWriting } from "../testing/ring_writer.ts";
import { headPart, headRoom, partsFrom } from "./ring_message.ts";

/** Two views of one ring whose positions begin at `position`, as after that many bytes. */
function ends(capacity_bytes: number, position = 0) {
  const memory = ringMemory(capacity_bytes);
  new Int32Array(memory).fill(position | 0, 0, 2);
  return [openRing(memory), openRing(memory)] as const;
}

/** The records that the ring returns together, in their own memory or in `kept`. */
function taken(ring: Ring, most_bytes: number, kept?: Records): Uint8Array[] {
  const records = ringTake(ring, most_bytes, kept);
  const all: Uint8Array[] = [];
  while (records?.next() === true) all.push(records.bytes.slice(records.start, records.end));
  return all;
}

const operation = fc.oneof(
  fc.record({ write: fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 3 }) }),
  fc.record({ most_bytes: fc.constantFrom(1, 64, 128), keeps: fc.boolean() }),
);

Deno.test("a ring returns what was written, in order, also around its end and 2^32", () => {
  const starts = fc.constantFrom(0, 64, 2 ** 31 - 8, 2 ** 32 - 64);
  fc.assert(fc.property(starts, fc.array(operation, { maxLength: 200 }), (start, operations) => {
    const [writer, reader] = ends(128, start);
    const kept = new Records(64);
    const model: Uint8Array[] = [];
    let used_bytes = 0;
    for (const step of operations) {
      if ("most_bytes" in step) {
        const expected: Uint8Array[] = [];
        let size_bytes = 0;
        while (
          model.length > 0 &&
          (size_bytes === 0 || size_bytes + recordBytes(model[0]!.length) <= step.most_bytes)
        ) {
          size_bytes += recordBytes(model[0]!.length);
          expected.push(model.shift()!);
        }
        assert.deepEqual(taken(reader, step.most_bytes, step.keeps ? kept : undefined), expected);
        used_bytes -= size_bytes;
        continue;
      }
      const whole = new Uint8Array(step.write.flatMap((part) => [...part]));
      const fits = used_bytes + recordBytes(whole.length) <= 128;
      assert.equal(ringPut(writer, step.write), fits);
      if (!fits) continue;
      model.push(whole);
      used_bytes += recordBytes(whole.length);
    }
  }));
});

Deno.test("a corrupt ring is detected, and never read beyond its end", () => {
  fc.assert(
    fc.property(fc.integer(), fc.uint8Array({ minLength: 64, maxLength: 64 }), (at, data) => {
      const [writer, reader] = ends(64);
      writer.data.set(data);
      new Int32Array(writer.memory)[0] = at;
      try {
        for (let times = 0; times < 20; times++) {
          const records = taken(reader, 64);
          if (records.length === 0) return;
          assert.ok(records.every((record) => record.length <= 64));
        }
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
  );
});

Deno.test("a signal before the wait ends it", async () => {
  const [writer, reader] = ends(64);
  const seen = ringSignals(reader);
  ringSignal(writer);
  ringWaitBlocking(reader, seen);
  assert.equal(ringWait(reader, seen), undefined);
  // Deno's event loop does not count a waiting atomic as work.
  const alive = setInterval(() => {}, 1_000);
  const wait = ringWait(reader, ringSignals(reader));
  let is_woken = false;
  wait?.then(() => is_woken = true);
  ringPut(writer, [new Uint8Array([1])]);
  await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(is_woken, false, "a record alone wakes no reader");
  ringSignal(writer);
  assert.equal(await wait, "ok");
  clearInterval(alive);
});

Deno.test("a writer that waits for room on another thread continues as soon as there is some", async () => {
  const reader = openRing(ringMemory(64));
  const url = new URL("../testing/ring_writer.ts", import.meta.url);
  const writer = new Worker(url, { type: "module" });
  const writing: RingWriting = { memory: reader.memory, count: 200 };
  writer.postMessage(writing);
  const numbers: number[] = [];
  while (numbers.length < writing.count) {
    const seen = ringSignals(reader);
    // A few at a time, so that the writer has to wait again and again.
    const some = taken(reader, 16);
    for (const [number] of some) numbers.push(number!);
    if (some.length === 0) await ringWait(reader, seen);
  }
  assert.deepEqual(numbers, Array.from({ length: writing.count }, (_, number) => number));
  writer.terminate();
});

Deno.test("a writer without room gives up when the ring is ended", () => {
  const [writer] = ends(64);
  assert.equal(ringPut(writer, [new Uint8Array(60)]), true);
  ringPutBlocking(writer, [new Uint8Array(1)], () => true);
  assert.equal(ringPut(writer, [new Uint8Array(0)]), false);
});

function open() {
  const ring = openRing(ringMemory(4_096));
  return { ring, send: createSender(ring), turn: () => new Promise<void>(queueMicrotask) };
}

Deno.test("records arrive in order, whatever is gathered in a turn, around the ring's end and beyond its room", async () => {
  const sizes = fc.array(fc.oneof(fc.nat(300), fc.constantFrom(16_372, 16_373, 20_000)));
  await fc.assert(fc.asyncProperty(fc.array(sizes, { maxLength: 30 }), async (turns) => {
    const memory = ringMemory(65_536);
    const send = createSender(openRing(memory));
    const reader = openRing(memory);
    let next = 0;
    for (const turn of turns) {
      const sent: Uint8Array[] = [];
      let used_bytes = 0;
      for (const size of turn) {
        const bytes = new Uint8Array(size).fill(next++);
        const needed = recordBytes(size + 1);
        assert.equal(send([Uint8Array.of(size), bytes]), used_bytes + needed <= 65_536);
        if (used_bytes + needed > 65_536) continue;
        used_bytes += needed;
        sent.push(Uint8Array.of(size, ...bytes));
      }
      await Promise.resolve();
      assert.deepEqual(taken(reader, 65_536), sent);
      assert.deepEqual(taken(reader, 65_536), []);
    }
  }));
});

Deno.test("the records of one turn wake the reader once, at the end of the turn", async () => {
  const { ring, send, turn } = open();
  for (let count = 0; count < 5; count++) assert.equal(send([new Uint8Array(4)]), true);
  assert.equal(ringSignals(ring), 0);
  await turn();
  assert.equal(ringSignals(ring), 1);
  await turn();
  assert.equal(ringSignals(ring), 1, "without records the reader is not woken");
  send([new Uint8Array(4)]);
  await turn();
  assert.equal(ringSignals(ring), 2);
});

Deno.test("a long turn wakes the reader in the middle, and again for the rest", async () => {
  const { ring, send, turn } = open();
  for (let count = 0; count < 280; count++) send([new Uint8Array(4)]);
  assert.equal(ringSignals(ring), 2);
  await turn();
  assert.equal(ringSignals(ring), 3);
});

Deno.test("a record without room wakes no one, and earlier records are signalled", async () => {
  const { ring, send, turn } = open();
  assert.equal(send([new Uint8Array(4_000)]), true);
  assert.equal(send([new Uint8Array(400)]), false);
  await turn();
  assert.equal(ringSignals(ring), 1);
  assert.equal(ringTake(ring, 1)?.next(), true);
  assert.equal(send([new Uint8Array(400)]), true);
});

Deno.test("a head has the bytes written last, whatever its size and earlier heads", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 3_000 }), { maxLength: 20 }), (sizes) => {
      for (const [index, size_bytes] of sizes.entries()) {
        const room = headRoom(size_bytes);
        for (let at = 0; at < size_bytes; at++) room.setUint8(at, index + at);
        const count = 1 + index % 3;
        const parts = partsFrom(headPart(size_bytes), count);
        assert.deepEqual(parts.length, count);
        assert.deepEqual(parts[0], Uint8Array.from({ length: size_bytes }, (_, at) => index + at));
      }
    }),
  );
});
