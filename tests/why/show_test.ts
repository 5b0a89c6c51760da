/**
 * The script `deno task chaos:why` in short: each kind of fault once or twice, and every answer right. A judge
 * that finds nothing has to be one that would find something: lies are planted into the answers.
 */
import assert from "node:assert/strict";
import { judge } from "./judge.ts";
import { LIES } from "./plant.ts";
import { runWhy } from "./run.ts";

const PLAN = {
  ...{ seconds: 20, questions: 150, shields: 2, users: 4, seed: 5, hit_ms: 700, slow_ms: 5_000 },
  away_ms: [300, 1_500],
  pause_ms: [1_000, 3_000],
  idle_ms: [30, 200],
} as const;

const NOTICED_PART = 0.7;

Deno.test("the outcome of random messages is told right while Shields are killed, stopped, restarted and cut off", async () => {
  const lines: string[] = [];
  const { problems, report, dir, asked, known } = await runWhy(PLAN, (line) => lines.push(line));
  const story = [...problems, ...lines, ...report, `logs in ${dir}`].join("\n");
  assert.deepEqual(problems, [], story);
  assert.equal(asked.length, PLAN.questions);
  assert.ok(report.some((line) => line.endsWith(", stored")), `nothing from a store\n${story}`);
  const all = { told: 0, noticed: 0 };
  for (const [name, lie] of Object.entries(LIES)) {
    const told = asked.flatMap((one) => lie(one) ?? []);
    assert.ok(told.length > 0, `no place for ${name}\n${story}`);
    const noticed = told.filter(({ question, answer }) =>
      judge(known, question, answer).problems.length > 0
    );
    assert.ok(noticed.length > 0, `${name}: none of ${told.length}\n${story}`);
    all.told += told.length;
    all.noticed += noticed.length;
  }
  // Where a connection ends about then, nobody but the bus knows: of few places of a lie that may be many.
  assert.ok(all.noticed >= NOTICED_PART * all.told, `${all.noticed} of ${all.told}\n${story}`);
  await Deno.remove(dir!, { recursive: true });
});
