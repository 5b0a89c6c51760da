/** Batches of frames: valid ones, and refused ones. */
import assert from "node:assert/strict";
import { readBatch } from "./session_socket.ts";

const bytes = (...list: number[]) => new Uint8Array(list);

Deno.test("a batch has a number and frames", () => {
  const { number, frames, closes } = readBatch(bytes(0, 0, 1, 2, 0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9));
  assert.deepEqual([number, frames, closes], [258, [bytes(7, 8), bytes(9)], false]);
  const last = readBatch(bytes(0, 0, 0, 3, 0, 0, 0, 1, 5, 0, 0, 0, 0));
  assert.deepEqual([last.frames, last.closes], [[bytes(5)], true]);
});

Deno.test("an invalid batch is refused as a whole", () => {
  const wrong = [
    bytes(),
    bytes(0, 0, 0, 1),
    bytes(0, 0, 0, 1, 0, 0, 0),
    bytes(0, 0, 0, 1, 0, 0, 0, 2, 1),
    bytes(0, 0, 0, 1, 0, 0, 0, 0, 1),
    bytes(0, 0, 0, 1, 255, 255, 255, 255, 1),
    bytes(0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0),
    new Uint8Array([0, 0, 0, 1, ...Array(1_025).fill([0, 0, 0, 1, 8]).flat()]),
  ];
  for (const body of wrong) assert.throws(() => readBatch(body), { reason: "malformed-body" });
});
