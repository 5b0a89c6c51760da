/** The wake-ups of a ring's reader, counted on one thread. */
import assert from "node:assert/strict";
import { openRing, ringMemory, ringSignals, ringTake } from "./ring.ts";
import { createSender } from "./ring_sender.ts";

function open() {
  const ring = openRing(ringMemory(4_096));
  return { ring, send: createSender(ring), turn: () => new Promise<void>(queueMicrotask) };
}

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
  for (let count = 0; count < 70; count++) send([new Uint8Array(4)]);
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
