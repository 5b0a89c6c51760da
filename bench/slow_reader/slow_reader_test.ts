/** The failures of `deno task bench slow_reader`, with invented figures. */
import assert from "node:assert/strict";
import { brokenBy, CLASSES, type Phase, type PhaseResult, rowsOf } from "./slow_reader.ts";

const MANY = 50;
const ROUNDS = 3;
const NOISE_MS = 10;

/** A phase without a failure, with the given p99. */
function result(phase: Phase, p99_ms: number): PhaseResult {
  const { class: name, slow } = phase;
  return {
    ...phase,
    ...{ received: 999, expected: 999, p50_ms: 5, p99_ms },
    disconnected: name === "disconnect" ? slow : 0,
    dropped: name === "drop-oldest" ? slow : 0,
    conflated: name === "latest" ? slow : 0,
    unsent_bytes: 0,
  };
}

/** All phases of all rounds; `p99_of` by class, slow readers and round. */
function results(p99_of: (phase: Phase, round: number) => number): PhaseResult[] {
  return Array.from(
    { length: ROUNDS },
    (_, round) =>
      CLASSES.flatMap((name) =>
        [0, 1, MANY].map((slow) => {
          const phase = { class: name, slow };
          return result(phase, p99_of(phase, round));
        })
      ),
  ).flat();
}

function broken(all: PhaseResult[]): string[] {
  return rowsOf(all, MANY).map((row) => brokenBy(row, ROUNDS, NOISE_MS))
    .filter((why) => why !== undefined);
}

Deno.test("twice the wait of other readers beside slow ones breaks the promise", () => {
  const why = broken(results(({ class: name, slow }) => name === "latest" && slow > 0 ? 45 : 20));
  assert.deepEqual(why, [
    "latest with 1 slow: p99 of the others is 2.25 times that with none",
    "latest with 50 slow: p99 of the others is 2.25 times that with none",
  ]);
});

Deno.test("one disturbed round breaks nothing, nor do a few milliseconds", () => {
  assert.deepEqual(broken(results(({ slow }, round) => slow > 0 && round === 1 ? 400 : 20)), []);
  assert.deepEqual(broken(results(({ slow }) => slow > 0 ? 12 : 4)), []);
});

Deno.test("a missing message breaks the promise, and so does a slow reader without its class's treatment", () => {
  const all = results(() => 20);
  const missing = all.map((one, at) => at === 0 ? { ...one, received: 998 } : one);
  assert.deepEqual(broken(missing), ["disconnect with 0 slow: 1 are missing"]);
  const spared = all.map((one) => one.slow === 1 ? { ...one, disconnected: 0, dropped: 0 } : one);
  assert.deepEqual(broken(spared), [
    "disconnect with 1 slow: the slow ones did not get what the class says",
    "drop-oldest with 1 slow: the slow ones did not get what the class says",
  ]);
});
