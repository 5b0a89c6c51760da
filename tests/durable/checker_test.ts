/** The checker: silent about every correct recording, loud about every planted fault. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createRandom } from "../presence_simulation/random.ts";
import { check } from "./checker.ts";
import { FAULT_INJECTORS } from "./fault_injectors.ts";
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

for (const [name, inject] of Object.entries(FAULT_INJECTORS)) {
  Deno.test(`a planted fault is always found: ${name}`, () => {
    let planted = 0;
    fc.assert(
      fc.property(SEED, SEED, (seed, where) => {
        const wrong = inject(makeRecording(seed), createRandom(where));
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
  assert.deepEqual(kinds(room(THREE, [start(10), saw(2, 20), saw(3, 30, "f")])), [
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

/** As the Shield says it to who is there, and the answer to the SUB that follows. */
const CHANGED: Sight = { kind: "gap", reason: "GAP epoch-changed" };
const REST = [saw(2, 20, "f"), saw(3, 30, "f")];
const MOVES = [start(0), saw(1, 10), GONE, start(20, true, "f"), ...REST];

Deno.test("a new life of the log is no fault where everything before it is there", () => {
  const stays = [start(0), saw(1, 10), CHANGED, start(10, true, "f"), saw(2, 20, "f")];
  const comes_back = [start(0), saw(1, 10), GONE, start(20, true, "f"), saw(2, 20, "f")];
  const rest = saw(3, 30, "f");
  const late = [start(0), saw(1, 10), saw(2, 20), saw(3, 30)];
  const history = [start(0, undefined, "f"), saw(1, 10, "f"), saw(2, 20, "f"), rest];
  const whole = room(THREE, [...stays, rest], [...comes_back, rest], late, history);
  const { findings, figures } = check(whole, OPTIONS);
  assert.deepEqual(findings, []);
  assert.deepEqual([figures.new_lives, figures.recoveries], [1, 2]);
  assert.deepEqual([[...figures.gaps], [...figures.losses]], [[["GAP epoch-changed", 1]], []]);
});

Deno.test("what a new life lacks, repeats or has elsewhere is found", () => {
  const old = [start(0), saw(1, 10), saw(2, 20), saw(3, 30)];
  const over = [start(0), saw(1, 10), GONE, start(30, true, "f")];
  const found = (...sights: Sight[]) => kinds(room(THREE, old, [...over, ...sights]));
  assert.deepEqual(found(saw(2, 20, "f"), saw(3, 30, "f")), []);
  assert.deepEqual(found(saw(3, 30, "f")), ["missed"]);
  assert.deepEqual(found(saw(2, 20, "f")), ["missed"]);
  assert.deepEqual(found(saw(1, 10, "f"), saw(2, 20, "f"), saw(3, 30, "f")), ["out-of-order"]);
  assert.ok(found(saw(2, 20, "f"), saw(3, 31, "f")).includes("stored-twice"));
  assert.ok(found(saw(3, 20, "f"), saw(2, 30, "f")).includes("conflict"));
});

Deno.test("what was acknowledged and is in no life is found", () => {
  const over = [start(0), saw(1, 10), GONE, start(30, true, "f"), saw(3, 30, "f")];
  assert.deepEqual(kinds(room(THREE, over)), ["missed"]);
  const history = [start(0, undefined, "f"), saw(1, 10, "f"), saw(3, 30, "f")];
  assert.deepEqual(kinds(room(THREE, history, over)), ["missed"]);
});

Deno.test("who stays in an old life untold must see what comes in the new one", () => {
  const stays = [start(0), saw(1, 10), saw(2, 20)];
  assert.deepEqual(kinds(room(THREE, MOVES, stays)), ["missed"]);
  assert.deepEqual(kinds(room(THREE, MOVES, [...stays, CHANGED])), []);
  assert.deepEqual(kinds(room(THREE, MOVES, [...stays, saw(3, 30)])), []);
});

Deno.test("a life that nobody was told of, and one that comes back, are found", () => {
  const all = (epoch: string) => [saw(1, 10, epoch), saw(2, 20, epoch), saw(3, 30, epoch)];
  const apart = [[start(0), ...all("e")], [start(0, undefined, "f"), ...all("f")]];
  assert.deepEqual(kinds(room(THREE, ...apart)), ["stored-twice"]);
  const [one, two, three] = [saw(1, 10), saw(2, 20, "f"), saw(3, 30)];
  const back = [start(0), one, GONE, start(10, true, "f"), two, GONE, start(20, true), three];
  assert.deepEqual(kinds(room(THREE, back)), ["epoch-swapped"]);
});

Deno.test("a loss is that of a new life only where there is one, and by that reason", () => {
  const losses = (...sights: Sight[]) => {
    const recording = room(THREE, [start(0), saw(1, 10), ...sights]);
    return [...check(recording, OPTIONS).figures.losses];
  };
  assert.deepEqual(losses(CHANGED, saw(3, 30)), [["GAP epoch-changed", 1]]);
  assert.deepEqual(losses(CHANGED, saw(3, 30, "f")), []);
  assert.deepEqual(losses(CHANGED, GAP, saw(3, 30, "f")), [["history-trimmed", 1]]);
  assert.deepEqual(losses(GONE, start(30, false, "f")), [["too-many", 1]]);
});

Deno.test("the epoch that an SDK does not know after a GAP is the next that it knows", () => {
  const unnamed = (...before: Sight[]) => [start(0), saw(1, 10), ...before, saw(2, 20, "")];
  assert.deepEqual(kinds(room(THREE, MOVES, [...unnamed(CHANGED), saw(3, 30, "f")])), []);
  assert.deepEqual(kinds(room(THREE, MOVES, [...unnamed(CHANGED), saw(3, 31, "f")])), [
    "missed",
    "stored-twice",
    "wrong-offset",
  ]);
  assert.ok(kinds(room(THREE, MOVES, unnamed())).includes("epoch-swapped"));
});
