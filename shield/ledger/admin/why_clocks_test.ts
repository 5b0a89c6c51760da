/** Clock differences, as requests and answers show them. */
import assert from "node:assert/strict";
import { Clocks } from "./why_ask.ts";

const answered = (node_id: string, asked_ms: number, received_ms: number, now_ms: number) => ({
  answers: [{ node_id, kind: "shield" as const, value: { now_ms } }],
  nodes: { answered: [node_id], silent: [] },
  asked_ms,
  received_ms: new Map([[node_id, received_ms]]),
});

Deno.test("a clock's lead is known within the duration of an answer, and more exactly with each answer", () => {
  const clocks = new Clocks("one");
  clocks.note(answered("one", 100, 140, 120));
  assert.deepEqual(clocks.of("one"), { ahead_ms: 0, within_ms: 0 });
  assert.equal(clocks.of("two"), undefined);
  assert.equal(clocks.here("two", 7), 7);
  // It read 5,060 between 100 and 140: it is ahead by 4,920 to 4,960.
  clocks.note(answered("two", 100, 140, 5_060));
  assert.deepEqual(clocks.of("two"), { ahead_ms: 4_940, within_ms: 20 });
  assert.equal(clocks.here("two", 5_000), 60);
  clocks.note(answered("two", 200, 210, 5_140));
  assert.deepEqual(clocks.of("two"), { ahead_ms: 4_935, within_ms: 5 });
  // It jumped meanwhile: the earlier result is wrong.
  clocks.note(answered("two", 300, 302, 301));
  assert.deepEqual(clocks.of("two"), { ahead_ms: 0, within_ms: 1 });
});
