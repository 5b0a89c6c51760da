// The bounded queue alone: order, the marker for lost items, its two ends.
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import { MessageBuffer, type Overflow } from "./message_buffer.ts";

type Item = number | { lost: number };

function buffer(
  items_max: number,
  bytes_max = 1_000_000,
  onEnd?: () => void,
  on_overflow: Overflow = "drop-newest",
): MessageBuffer<Item> {
  return new MessageBuffer<Item>({
    buffer: items_max,
    buffer_bytes: bytes_max,
    on_overflow,
    sizeOf: (item) => typeof item === "number" ? item : 0,
    gap: (lost) => ({ lost }),
    ...(onEnd === undefined ? {} : { onEnd }),
  });
}

async function drain(from: MessageBuffer<Item>): Promise<Item[]> {
  const taken: Item[] = [];
  for await (const item of from) taken.push(item);
  return taken;
}

Deno.test("items are delivered in order, also to a waiting consumer", async () => {
  const items = buffer(10);
  const first = items.next();
  items.push(1);
  items.push(2);
  items.push(3);
  items.end();
  assert.deepEqual(await first, { value: 1, done: false });
  assert.deepEqual(await drain(items), [2, 3]);
});

Deno.test("bytes are bounded, too, and a single item larger than the limit still passes", async () => {
  const items = buffer(100, 10);
  items.push(50);
  items.push(1);
  assert.equal(items.size, 1);
  assert.equal((await items.next()).value, 50);
  assert.equal(items.size, 0);
});

Deno.test("an error is thrown after the buffered items, once", async () => {
  const items = buffer(10);
  items.push(1);
  items.end(new Error("over"));
  assert.equal((await items.next()).value, 1);
  await assert.rejects(items.next(), /over/);
  assert.deepEqual(await items.next(), { value: undefined, done: true });
});

Deno.test("leaving the loop ends the buffer once and refuses further items", async () => {
  let ends = 0;
  const items = buffer(10, 1_000, () => ends += 1);
  items.push(1);
  items.push(2);
  for await (const _ of items) break;
  items.end();
  assert.equal(ends, 1);
  items.push(3);
  assert.equal(items.size, 0);
});

const with_policy = (on_overflow: Overflow) => buffer(2, 1_000_000, undefined, on_overflow);

Deno.test("drop-oldest keeps the newest, with one marker before them", async () => {
  const items = with_policy("drop-oldest");
  for (const item of [1, 2, 3, 4]) items.push(item);
  assert.deepEqual((await items.next()).value, { lost: 2 });
  items.push(5);
  items.end();
  assert.deepEqual(await drain(items), [{ lost: 1 }, 4, 5]);
  const large = buffer(10, 10, undefined, "drop-oldest");
  large.push(4);
  large.push(50);
  large.end();
  assert.deepEqual(await drain(large), [{ lost: 1 }, 50]);
});

Deno.test("the policy error delivers buffered items and then throws 'slow-consumer', once", async () => {
  const items = with_policy("error");
  for (const item of [1, 2, 3, 4]) items.push(item);
  assert.equal(items.size, 2);
  assert.deepEqual([(await items.next()).value, (await items.next()).value], [1, 2]);
  await assert.rejects(
    items.next(),
    (error) => error instanceof ArqonError && error.reason === "slow-consumer",
  );
  assert.equal((await items.next()).done, true);
});

Deno.test("with any policy, pushed items are delivered in order or counted as lost", async () => {
  await fc.assert(fc.asyncProperty(
    fc.constantFrom<Overflow>("drop-newest", "drop-oldest"),
    fc.array(fc.boolean(), { maxLength: 300 }),
    fc.integer({ min: 1, max: 40 }),
    async (on_overflow, pushes, items_max) => {
      const items = buffer(items_max, 1_000_000, undefined, on_overflow);
      const taken: Item[] = [];
      let pushed = 0;
      for (const push of pushes) {
        if (push) items.push(++pushed);
        else if (items.size > 0) taken.push((await items.next()).value as Item);
        assert.ok(items.size <= items_max + 1);
      }
      items.end();
      taken.push(...await drain(items));
      let at = 0;
      for (const item of taken) {
        if (typeof item === "number") assert.equal(item, ++at);
        else at += item.lost;
      }
      assert.equal(at, pushed);
    },
  ));
});
