/** The list of a room, compared with a plain array, and what its cursors read. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeMsgAt } from "@arqon/proto";
import { cursorAfter, cursorBefore, missedBetween, Timeline } from "./timeline.ts";
import type { Cursor, StoredMessage } from "./timeline.ts";

const message = (offset: number, bytes = 1): StoredMessage => ({
  offset,
  time_ms: offset,
  envelope: new Uint8Array(bytes).fill(offset),
  origin: "",
});

function offsets(cursor: Cursor): number[] {
  const found: number[] = [];
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
    found.push(entry.offset);
  }
  return found;
}

const from = (list: Timeline, offset: number) => cursorAfter(list.at(offset), () => list.tail);

type Step =
  | { readonly kind: "append"; readonly by: number; readonly bytes: number }
  | { readonly kind: "prepend"; readonly count: number; readonly more: number }
  | { readonly kind: "trim"; readonly messages: number; readonly bytes: number }
  | { readonly kind: "skip" | "rest" | "forget"; readonly by: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant("append" as const),
    by: fc.integer({ min: 1, max: 3 }),
    bytes: fc.nat(9),
  }),
  fc.record({ kind: fc.constant("prepend" as const), count: fc.nat(4), more: fc.nat(2) }),
  fc.record({ kind: fc.constant("trim" as const), messages: fc.nat(200), bytes: fc.nat(900) }),
  fc.record({ kind: fc.constantFrom("skip", "rest", "forget"), by: fc.nat(3) }),
);

/** A list and the plain array that models it. */
class Model {
  readonly list = new Timeline(1_000);
  readonly all = [] as { offset: number; bytes: number }[];
  floor = 1_000;
  last = 1_000;

  apply(one: Step): void {
    if (one.kind === "append") {
      const offset = this.last + one.by;
      assert.equal(this.list.offer(message(offset, one.bytes), this.last), "appended");
      this.all.push({ offset, bytes: one.bytes });
      this.last = offset;
    } else if (one.kind === "prepend") this.#prepend(one.count, one.more);
    else if (one.kind === "trim") {
      this.list.trim(one.messages, one.bytes);
      const bytes = () => this.all.reduce((sum, it) => sum + it.bytes, 0);
      while (this.all.length > 1 && (this.all.length > one.messages || bytes() > one.bytes)) {
        this.floor = this.all.shift()?.offset ?? 0;
      }
    } else if (one.kind === "forget") {
      // The first remaining offset: of a message, right after one, or after all.
      const below = (this.all[one.by]?.offset ?? this.last + 1) - one.by % 2;
      const gone = this.all.filter(({ offset }) => offset < below);
      assert.equal(this.list.forgetBelow(below), gone.length > 0);
      this.all.splice(0, gone.length);
      this.floor = gone.at(-1)?.offset ?? this.floor;
    } else {
      this.last += one.by;
      if (one.kind === "rest") return this.list.rest(this.last);
      this.list.skip(this.last);
      this.all.length = 0;
      this.floor = this.last;
    }
  }

  #prepend(count: number, more: number): void {
    const fitting = Math.min(this.all.length === 0 ? 0 : count, this.floor);
    const older = Array.from({ length: fitting }, (_, n) => this.floor - fitting + 1 + n);
    this.floor = Math.max(this.floor - fitting - more, 0);
    this.list.prepend(older.map((offset) => message(offset, 2)), this.floor);
    this.all.unshift(...older.map((offset) => ({ offset, bytes: 2 })));
  }

  check(): void {
    const { list, all } = this;
    assert.deepEqual([list.floor, list.last, list.count], [this.floor, this.last, all.length]);
    assert.equal(list.bytes, all.reduce((sum, { bytes }) => sum + bytes, 0));
    assert.deepEqual([list.first?.offset, list.newest?.offset], [
      all[0]?.offset,
      all.at(-1)?.offset,
    ]);
    for (let offset = this.floor; offset <= this.last; offset++) {
      const after = all.filter((it) => it.offset > offset);
      const missed = missedBetween(list.at(offset), list.tail);
      assert.equal(missed.messages, after.length);
      assert.equal(missed.bytes, after.reduce((sum, { bytes }) => sum + bytes, 0));
      assert.deepEqual(offsets(from(list, offset)), after.map((it) => it.offset));
    }
    assert.throws(() => list.at(this.floor - 1), RangeError);
    checkContents(from(list, this.floor), (index) => all[index]!.bytes);
  }
}

/** Every message is unchanged, whatever its neighbours. */
function checkContents(cursor: Cursor, bytesOf: (index: number) => number): void {
  let index = 0;
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next(), index++) {
    const { envelope } = message(entry.offset, bytesOf(index));
    assert.deepEqual(entry.envelope, envelope);
    assert.deepEqual(entry.binary, encodeMsgAt(envelope, entry.offset));
  }
}

Deno.test("a list behaves like a plain array of the same messages", () =>
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const model = new Model();
      for (const one of steps) model.apply(one);
      model.check();
    }),
    { numRuns: 300 },
  ));

Deno.test("existing messages are not added again, and a gap before a message is detected", () => {
  const list = new Timeline(10);
  assert.equal(list.offer(message(12), 11), "gap");
  assert.equal(list.offer(message(11), 10), "appended");
  assert.equal(list.offer(message(11), 10), "repeated");
  assert.equal(list.offer(message(3), 2), "repeated");
  // The earlier messages have expired from the log.
  assert.equal(list.offer(message(20), 0), "appended");
});

Deno.test("a slow cursor sees messages that were trimmed after it started", () => {
  const list = new Timeline(0);
  const slow = from(list, 0);
  for (let offset = 1; offset <= 500; offset++) list.offer(message(offset, 10), offset - 1);
  assert.equal(slow.lag_bytes, 5_000);
  assert.equal(list.trim(1, 0), true);
  assert.equal(list.trim(1, 0), false);
  assert.deepEqual([list.count, list.floor], [1, 499]);
  assert.equal(slow.lag_bytes, 5_000);
  checkContents(slow, () => 10);
  assert.equal(slow.lag_bytes, 0);
});

Deno.test("messages share buffers, and the last one retains only its own", () => {
  const list = new Timeline(0);
  for (let offset = 1; offset <= 1_000; offset++) list.offer(message(offset, 400), offset - 1);
  const buffers = new Set<ArrayBufferLike>();
  const cursor = from(list, 0);
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
    buffers.add(entry.binary.buffer);
  }
  const held_bytes = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
  assert.ok(buffers.size < list.count / 5, `${buffers.size} buffers`);
  assert.ok(held_bytes < list.bytes * 1.1, `${held_bytes} bytes for ${list.bytes}`);

  list.trim(1, 0);
  const { binary, envelope } = list.newest ?? assert.fail();
  assert.equal(binary.buffer.byteLength, binary.length);
  assert.deepEqual(envelope, message(1_000, 400).envelope);
  list.offer(message(1_001, 400), 1_000);
  assert.equal(list.newest?.binary.buffer.byteLength, list.newest?.binary.length);
});

Deno.test("a cursor at the end continues after a gap, and in the following list", () => {
  const list = new Timeline(0);
  const cursor = cursorAfter(list.tail, () => next.tail);
  list.offer(message(1), 0);
  list.skip(7);
  list.offer(message(8), 7);
  const next = new Timeline(0, list);
  next.offer(message(2), 0);
  assert.deepEqual(offsets(cursor), [1, 8, 2]);
  assert.deepEqual(offsets(from(next, 0)), [2]);
});

Deno.test("a cursor before an entry starts with it", () => {
  const list = new Timeline(0);
  for (let offset = 1; offset <= 3; offset++) list.offer(message(offset, 5), offset - 1);
  const cursor = cursorBefore(list.newest ?? assert.fail(), () => list.tail);
  assert.equal(cursor.lag_bytes, 5);
  assert.deepEqual(offsets(cursor), [3]);
});

Deno.test("older messages that do not fit before the list are refused", () => {
  const empty = new Timeline(5);
  assert.throws(() => empty.prepend([message(4)], 3), TypeError);
  empty.prepend([], 3);
  assert.equal(empty.floor, 3);
  const list = new Timeline(5);
  list.offer(message(6), 5);
  assert.throws(() => list.prepend([], 6), TypeError);
  assert.throws(() => list.prepend([message(4), message(3)], 2), TypeError);
  assert.throws(() => list.prepend([message(6)], 2), TypeError);
  assert.throws(() => list.prepend([message(2)], 2), TypeError);
  assert.deepEqual([list.floor, list.count], [5, 1]);
});
