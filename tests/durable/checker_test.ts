/** The checker: silent about every correct recording, loud about every planted fault. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createRandom } from "../presence_simulation/random.ts";
import { check } from "./checker.ts";
import { PLANTS } from "./plant.ts";
import type { Publish, Recording, Sight } from "./recording.ts";
import { makeRecording } from "./test_recordings.ts";

const OPTIONS = { deduplication_ms: 120_000 };
const SEED = fc.integer({ min: 0, max: 0x7fffffff });

const kinds = (recording: Recording) =>
  [...new Set(check(recording, OPTIONS).findings.map(({ kind }) => kind))].sort();

Deno.test("a correct recording has no findings", () => {
  fc.assert(
    fc.property(SEED, (seed) => {
      assert.deepEqual(check(makeRecording(seed), OPTIONS).findings, []);
    }),
    { numRuns: 500 },
  );
});

for (const [name, plant] of Object.entries(PLANTS)) {
  Deno.test(`a planted fault is always found: ${name}`, () => {
    let planted = 0;
    fc.assert(
      fc.property(SEED, SEED, (seed, where) => {
        const wrong = plant(makeRecording(seed), createRandom(where));
        if (wrong === undefined) return;
        planted++;
        assert.notDeepEqual(check(wrong, OPTIONS).findings, []);
      }),
      { numRuns: 500 },
    );
    assert.ok(planted > 200, `only ${planted} recordings had a place for it`);
  });
}

function publish(sequence: number, offset: number | undefined): Publish {
  const outcome = offset === undefined
    ? { kind: "unknown" as const }
    : { kind: "acknowledged" as const, offset };
  const attempts = [{ at_ms: sequence, outcome }];
  return { message_id: `m${sequence}`, publisher: "p", sequence, hash: sequence, attempts };
}

const start = (offset: number, recovered?: boolean, epoch = "e"): Sight => (
  { kind: "subscribed", recovered, reason: recovered === false ? "too-many" : "", epoch, offset }
);
const saw = (sequence: number, offset: number, epoch = "e"): Sight => (
  { kind: "message", epoch, offset, message_id: `m${sequence}`, hash: sequence }
);
const GONE: Sight = { kind: "disconnected" };
const GAP: Sight = { kind: "gap", reason: "history-trimmed" };

const room = (publishes: readonly Publish[], ...subscribers: readonly Sight[][]): Recording => [{
  room_id: "log-1",
  publishes,
  subscribers: subscribers.map((sights, index) => ({ name: `s${index}`, sights })),
}];

const THREE = [publish(1, 10), publish(2, 20), publish(3, 30)];

Deno.test("who stays must see the last message, who left or did not come back need not", () => {
  const two = [start(0), saw(1, 10), saw(2, 20)];
  assert.deepEqual(kinds(room(THREE, two)), ["missed"]);
  assert.deepEqual(kinds(room(THREE, [...two, { kind: "left" }])), []);
  assert.deepEqual(kinds(room(THREE, [...two, GONE])), []);
  assert.deepEqual(kinds(room(THREE, [...two, GONE, start(30, true)])), ["missed"]);
  assert.deepEqual(kinds(room(THREE, [...two, GONE, start(30, true), saw(3, 30)])), []);
});

Deno.test("a loss counts unless it was told, and what was told is a figure", () => {
  const silent = room(THREE, [start(0), saw(1, 10), GONE, start(20, true), saw(3, 30)]);
  assert.deepEqual(kinds(silent), ["missed"]);
  const told = room(THREE, [start(0), saw(1, 10), GONE, start(20, false), saw(3, 30)]);
  assert.deepEqual(kinds(told), []);
  assert.deepEqual(check(told, OPTIONS).figures.gaps, new Map([["too-many", 1]]));
  assert.deepEqual(kinds(room(THREE, [start(0), saw(1, 10), GAP, saw(3, 30)])), []);
  const taken_back = [start(0), saw(1, 10), GAP, start(20, true), saw(3, 30)];
  assert.deepEqual(kinds(room(THREE, taken_back)), ["missed"]);
});

Deno.test("a message that was never acknowledged may be missing everywhere, but not here and there", () => {
  const unsure = [publish(1, 10), publish(2, undefined), publish(3, 30)];
  const without = [start(0), saw(1, 10), saw(3, 30)];
  const with_it = [start(0), saw(1, 10), saw(2, 20), saw(3, 30)];
  assert.deepEqual(kinds(room(unsure, without, without)), []);
  assert.deepEqual(kinds(room(unsure, with_it, with_it)), []);
  assert.deepEqual(kinds(room(unsure, with_it, without)), ["missed"]);
  const twice = [start(0), saw(1, 10), saw(2, 20), saw(2, 25), saw(3, 30)];
  assert.deepEqual(kinds(room(unsure, twice, twice)), ["stored-twice"]);
});

Deno.test("repeats of one message after the deduplication window are two messages", () => {
  const late = (at_ms: number): Publish => ({
    ...publish(1, 10),
    attempts: [
      { at_ms: 0, outcome: { kind: "acknowledged", offset: 10 } },
      { at_ms, outcome: { kind: "acknowledged", offset: 20 } },
    ],
  });
  const both = [start(0), saw(1, 10), saw(1, 20)];
  assert.deepEqual(kinds(room([late(120_001)], both)), []);
  assert.deepEqual(kinds(room([late(119_999)], both)), ["stored-twice", "two-offsets"]);
});

Deno.test("a message of nobody, a position of the future and another epoch are found", () => {
  assert.deepEqual(kinds(room(THREE, [start(30), saw(9, 40)])), ["foreign"]);
  assert.deepEqual(kinds(room(THREE, [start(31)])), ["position-ahead"]);
  assert.deepEqual(kinds(room(THREE, [start(30), GONE, start(30, true, "f")])).slice(0, 1), [
    "epoch-swapped",
  ]);
  assert.deepEqual(kinds(room(THREE, [saw(1, 10)])), ["unasked"]);
});

Deno.test("after a new epoch offsets begin anew, and its messages count", () => {
  const publishes = [publish(1, 10), publish(2, 3), publish(3, 5)];
  const told = [start(0), saw(1, 10), GONE, start(0, false, "f"), saw(2, 3, "f"), saw(3, 5, "f")];
  assert.deepEqual(kinds(room(publishes, told, told)), []);
  const without = told.filter((sight) => sight.kind !== "message" || sight.offset !== 3);
  assert.deepEqual(kinds(room(publishes, told, without)), ["missed"]);
});
