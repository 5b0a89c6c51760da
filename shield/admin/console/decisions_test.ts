/** The console's counts of a policy's decisions, and its parser for the result of a replay. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { DecisionCounts, endingOf, replayResult } from "./decisions.js";

const MINUTE_MS = 60_000;
const FROM_MS = 1_767_323_045_000;
const WINDOW = { policy: "words", from_ms: FROM_MS, until_ms: FROM_MS + 60 * MINUTE_MS };

function line(time_ms: number, call: { allowed: boolean; fault?: string }, name = "words") {
  const { allowed, fault = null } = call;
  return { time_ms, policies: [{ name, allowed, fault }] };
}

/** The series of a chart by name. */
function seriesOf(counts: DecisionCounts, is_whole: boolean) {
  const { series } = counts.chart(is_whole);
  return Object.fromEntries(
    series.map(({ name, values }: { name: string; values: number[] }) => [name, values]),
  );
}

Deno.test("each decision counts once, by its result and time", () => {
  const ending = fc.constantFrom<[string, { allowed: boolean; fault?: string }]>(
    ["allowed", { allowed: true }],
    ["refused", { allowed: false }],
    ["faults", { allowed: false, fault: "fuel" }],
  );
  // By another clock a decision may lie slightly outside the window.
  const at = fc.integer({ min: -2 * MINUTE_MS, max: 62 * MINUTE_MS });
  fc.assert(fc.property(fc.array(fc.tuple(at, ending)), (decided) => {
    const counts = new DecisionCounts(WINDOW);
    const expected: Record<string, number[]> = {
      allowed: Array(60).fill(0),
      refused: Array(60).fill(0),
      faults: Array(60).fill(0),
    };
    for (const [after_ms, [name, call]] of decided) {
      counts.add(line(FROM_MS + after_ms, call));
      expected[name]![Math.min(59, Math.max(0, Math.floor(after_ms / MINUTE_MS)))]!++;
    }
    assert.deepEqual(seriesOf(counts, true), expected);
    assert.equal(counts.total, decided.length);
  }));
});

Deno.test("decisions of other policies do not count, and holes are counted", () => {
  const counts = new DecisionCounts(WINDOW);
  counts.add(line(FROM_MS, { allowed: true }, "other"));
  counts.add({ hole: { from_ms: FROM_MS, to_ms: FROM_MS + 1, records: 7, why: "queue" } });
  counts.add({ hole: { from_ms: FROM_MS, to_ms: FROM_MS + 1, records: null, why: "damaged" } });
  assert.deepEqual([counts.total, counts.missing, counts.unknown_holes], [0, 7, 1]);
  assert.equal(endingOf({ policies: [] }, "words"), undefined);
});

Deno.test("a window that was not read to its end has no figures after the last line", () => {
  const counts = new DecisionCounts(WINDOW);
  counts.add(line(FROM_MS + 10.5 * MINUTE_MS, { allowed: true }));
  const values = seriesOf(counts, false)["allowed"]!;
  assert.deepEqual([values[9], values[10], values[11]], [0, 1, undefined]);
  assert.equal(seriesOf(counts, true)["allowed"]![11], 0);
});

Deno.test("the flips of a replay's result are rows, and other texts are refused with a readable message", () => {
  const sample = { id: "s.1", time_ms: 1, room: "r" };
  const samples = { to_refused: [sample], to_allowed: [], changed: [sample] };
  const text = JSON.stringify({ policy: "words", candidate: { repeated: 2, samples } });
  const { rows } = replayResult(text);
  assert.deepEqual(rows.map(({ kind, id }: { kind: string; id: string }) => [kind, id]), [
    ["now refused", "s.1"],
    ["another answer", "s.1"],
  ]);
  assert.throws(() => replayResult("{"), /This is not JSON/);
  for (const other of ["null", "[]", "{}", '{"policy":"p","candidate":{"repeated":1}}']) {
    assert.throws(() => replayResult(other), /not a result of arq policy replay/, other);
  }
});
