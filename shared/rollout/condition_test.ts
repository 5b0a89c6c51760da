/** Conditions of rollouts: parsed, refused, and breached. */
import assert from "node:assert/strict";
import { firstBreach } from "./breach.ts";
import { type Condition, METRICS, readCondition, withDefault } from "./condition.ts";
import { fuelAt, fuelBucket, type PolicyTally, type Sample, summed } from "./tally.ts";

const NONE: PolicyTally = {
  name: "no-spam",
  compared: 0,
  enforced: 0,
  refused: 0,
  passed: 0,
  faults: 0,
  fuel_old: [],
  fuel_new: [],
  samples: [],
};

function read(text: string): Condition {
  const condition = readCondition(text);
  if ("problem" in condition) throw new Error(condition.problem);
  return condition;
}

const breach = (text: string, tally: Partial<PolicyTally>) =>
  firstBreach([read(text)], [{ ...NONE, ...tally }]);

Deno.test("conditions are read with blanks and fractions", () => {
  for (const metric of METRICS) assert.equal(read(`${metric}>7`).metric, metric);
  const { text, is_from, bound, unit } = read(" fuel_p99 >= 1.5 x ");
  assert.deepEqual([text, is_from, bound, unit], ["fuel_p99>=1.5x", true, 1.5, "x"]);
});

Deno.test("without a condition about faults a version that fails is rolled back", () => {
  assert.deepEqual(withDefault(["refused>1%"]), ["refused>1%", "faults>1%"]);
  assert.deepEqual(withDefault(["faults >= 7"]), ["faults >= 7"]);
  const all = { compared: 200, refused: 200, faults: 200 };
  for (const text of withDefault([])) assert.ok(breach(text, all));
  assert.equal(breach("faults>100%", all), undefined, "this one lets all pass");
});

Deno.test("an invalid condition is refused with the expected form", () => {
  const wrong: [string, RegExp][] = [
    ["", /expected a metric, > or >=.*"refused>0.1%"/],
    ["refused", /expected a metric/],
    ["refused<1%", /expected a metric/],
    ["refused>-1%", /expected a metric/],
    ["refused>1%%", /expected a metric/],
    ["refusd>1%", /unknown metric; expected one of refused, passed, faults, fuel_p50/],
    ["constructor>1", /unknown metric/],
    ["refused>2x", /counted in messages; expected %/],
    ["fuel_p99>2%", /is fuel; expected x/],
    ["refused>101%", /at most 100%/],
  ];
  for (const [text, problem] of wrong) {
    const found = readCondition(text);
    assert.ok("problem" in found, text);
    assert.match(found.problem, problem);
  }
});

Deno.test("a share is of no fewer than a hundred messages", () => {
  assert.equal(breach("refused>5%", { compared: 5, refused: 5 }), undefined);
  const found = breach("refused>5%", { compared: 6, refused: 6 });
  assert.deepEqual([found?.condition, found?.policy], ["refused>5%", "no-spam"]);
  assert.equal(found?.found, "6 of 6 messages");
  assert.equal(breach("refused>5%", { compared: 1_000, refused: 50 }), undefined);
  assert.ok(breach("refused>=5%", { compared: 1_000, refused: 50 }));
  assert.equal(breach("refused>=0%", { compared: 1_000 }), undefined);
  assert.ok(breach("refused>0", { compared: 1, refused: 1 }));
});

Deno.test("fuel is compared with the old version's, with enough messages of both", () => {
  const at = (fuel: number, messages: number): [number, number][] => [[fuelBucket(fuel), messages]];
  const held = (fuel_old: [number, number][], fuel_new: [number, number][]) =>
    breach("fuel_p99>2x", { compared: 200, fuel_old, fuel_new });
  assert.equal(held(at(10, 200), at(19, 200)), undefined);
  assert.match(held(at(10, 200), at(22, 200))?.found ?? "", /^2\.\d\dx: /);
  assert.equal(held(at(10, 200), at(22, 99)), undefined);
  assert.equal(held([], at(22, 200)), undefined, "a policy that is new has nothing before it");
  assert.ok(breach("fuel_max>20", { fuel_new: at(22, 100) }));
});

Deno.test("a quantile of fuel is right within five percent", () => {
  for (const fuel of [0.01, 0.5, 3, 77, 4_321, 1e6]) {
    const found = fuelAt([[fuelBucket(fuel), 3]], 0.99).fuel;
    assert.ok(found >= fuel * 0.999 && found <= fuel * 1.05, `${fuel}: ${found}`);
  }
  assert.equal(fuelBucket(0), 0);
});

Deno.test("the samples are the condition's, the earliest of all Shields", () => {
  const sample = (would: Sample["would"], at_ms: number): Sample => ({
    would,
    at_ms,
    user: "ann",
    room: "r",
    reason: "",
  });
  const [sum] = summed([
    [{ ...NONE, compared: 2, refused: 1, samples: [sample("refuse", 9), sample("pass", 8)] }],
    [{ ...NONE, compared: 3, refused: 2, passed: 1, samples: [sample("refuse", 1)] }],
  ]);
  assert.deepEqual([sum?.compared, sum?.refused, sum?.passed], [5, 3, 1]);
  const found = firstBreach([read("passed>9"), read("refused>2")], [sum!]);
  assert.deepEqual(found?.samples.map(({ at_ms }) => at_ms), [1, 9]);
});
