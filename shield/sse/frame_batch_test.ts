/** Batches of frames: valid ones, and refused ones. */
import assert from "node:assert/strict";
import type { EventReaders } from "./event_writer.ts";
import { FrameEvents, readBatch, SessionSocket } from "./session_socket.ts";

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

Deno.test("a batch that is repeated while its client must pause is answered after its frames", async () => {
  const wire = new FrameEvents();
  const readers = {} as EventReaders;
  const options = { wire, readers, gzip: undefined, heartbeat_ms: 1_000, onGone() {} };
  const socket = new SessionSocket(options);
  const received: unknown[] = [];
  const nothing = () => {};
  socket.listen({
    message(frame) {
      received.push(frame[0]);
      if (received.length % 2 === 1) socket.rest(1);
    },
    opened: nothing,
    flooded: nothing,
    tooLong: nothing,
    closed: nothing,
  });
  const first = bytes(0, 0, 0, 0, ...[1, 2, 3, 4].flatMap((one) => [0, 0, 0, 1, one]));
  const second = bytes(0, 0, 0, 1, ...[5, 6].flatMap((one) => [0, 0, 0, 1, one]));
  const repeated = async () => {
    await socket.take(first);
    await socket.take(second);
  };
  await Promise.all([socket.take(first), repeated()]);
  assert.deepEqual(received, [1, 2, 3, 4, 5, 6]);
});
