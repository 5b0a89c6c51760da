/** How long a sender has to wait that makes a module fail, and when that is forgiven. Pure: time is a number here. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  createSender,
  FIRST_PAUSE_MS,
  FORGIVE_MS,
  isForgiven,
  LONGEST_PAUSE_MS,
  senderFailed,
  senderRuns,
  senderSucceeded,
  senderWait,
  SLOWED_FROM,
} from "./slowed_sender.ts";

Deno.test("the first faults cost nothing, each further one doubles the pause, up to the longest", () => {
  const sender = createSender(0);
  const waits: number[] = [];
  for (let fault = 1; fault <= SLOWED_FROM + 8; fault++) {
    senderFailed(sender, 0);
    waits.push(senderWait(sender, 0));
  }
  assert.deepEqual(waits.slice(0, SLOWED_FROM), [0, 0, FIRST_PAUSE_MS]);
  assert.deepEqual(waits.slice(SLOWED_FROM, SLOWED_FROM + 3), [2_000, 4_000, 8_000]);
  assert.equal(waits.at(-1), LONGEST_PAUSE_MS);
});

Deno.test("a success of an operation from before the pause does not end it", () => {
  const sender = createSender(0);
  for (let fault = 0; fault < SLOWED_FROM; fault++) senderFailed(sender, 0);
  senderSucceeded(sender);
  assert.equal(senderWait(sender, 0), FIRST_PAUSE_MS);
});

Deno.test("a sender that obeys every pause and always fails causes a few faults, then one per longest pause", () => {
  const sender = createSender(0);
  const at: number[] = [];
  for (let now_ms = 0; now_ms < 3_600_000; now_ms += 100) {
    if (senderWait(sender, now_ms) > 0) continue;
    senderRuns(sender, now_ms);
    senderFailed(sender, now_ms);
    at.push(now_ms);
  }
  assert.ok(at.length < 130, `${at.length} faults in an hour`);
});

Deno.test("every fault is forgiven in its time", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 100_000 })), (pauses) => {
    const sender = createSender(0);
    let now_ms = 0;
    for (const pause_ms of pauses) senderFailed(sender, now_ms += pause_ms);
    assert.equal(isForgiven(sender, now_ms), pauses.length === 0);
    assert.ok(isForgiven(sender, now_ms + 12 * FORGIVE_MS));
  }));
});
