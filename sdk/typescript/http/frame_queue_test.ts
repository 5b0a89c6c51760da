/** Queued frames: batches within their limits, each frame once, and the end last. */
import assert from "node:assert/strict";
import { FrameQueue } from "./http_socket.ts";

Deno.test("frames go in their order, a batch has bounds, and its number counts", () => {
  const queue = new FrameQueue();
  assert.equal(queue.take(), undefined);
  queue.push(new Uint8Array([1, 2]));
  queue.push(new Uint8Array([3]));
  assert.equal(queue.bytes, 3);
  const first = [...queue.take()?.body ?? []];
  assert.deepEqual(first, [0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 1, 3]);
  assert.equal(queue.bytes, 0);
  for (let n = 0; n < 3; n++) queue.push(new Uint8Array(100_000));
  assert.deepEqual([1, 2, 3].map(() => queue.take()?.body.length), [100_008, 100_008, 100_008]);
  for (let n = 0; n < 1_025; n++) queue.push(new Uint8Array(1));
  queue.close();
  const many = queue.take();
  assert.deepEqual([many?.body.length, many?.last], [4 + 1_024 * 5, false]);
  const last = queue.take();
  assert.deepEqual([[...last?.body ?? []], last?.last], [
    [0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0],
    true,
  ]);
  assert.equal(queue.take(), undefined);
});
