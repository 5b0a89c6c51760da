/** Tests of the step runner with steps that are plain functions. */
import assert from "node:assert/strict";
import { executeStep, runSteps, type Step, verdict } from "./gates.ts";

function fakeRunner(outcomes: Record<string, { ok: boolean; output: string } | Error>) {
  const lines: string[] = [];
  let clock_ms = 0;
  let running = 0;
  const seen = { lines, most: 0 };
  return {
    seen,
    runner: {
      parallel: 2,
      now: () => clock_ms,
      print: (line: string) => lines.push(line),
      execute: async (step: Step) => {
        running += 1;
        seen.most = Math.max(seen.most, running);
        await Promise.resolve();
        clock_ms += 1500;
        running -= 1;
        const outcome = outcomes[step.name];
        if (outcome === undefined || outcome instanceof Error) throw outcome ?? new Error("none");
        return outcome;
      },
    },
  };
}

const steps = (...names: string[]): Step[] => names.map((name) => ({ name, args: [] }));

Deno.test("all steps run if one fails, and the failed one shows its output", async () => {
  const { runner, seen } = fakeRunner({
    first: { ok: false, output: "a.ts:1: wrong\n" },
    second: { ok: true, output: "quiet\n" },
    third: { ok: true, output: "NOTE not answered\nquiet\n" },
  });
  const results = await runSteps(steps("first", "second", "third"), runner);
  assert.deepEqual(results.map((result) => result.ok).sort(), [false, true, true]);
  const text = seen.lines.join("\n");
  assert.match(text, /FAIL {2}first +\d+\.\d s\n {6}a\.ts:1: wrong/);
  assert.match(text, /NOTE not answered/);
  assert.doesNotMatch(text, /quiet/);
});

Deno.test("no more steps than the limit run concurrently", async () => {
  const fine = { ok: true, output: "" };
  const { runner, seen } = fakeRunner({ a: fine, b: fine, c: fine, d: fine });
  await runSteps(steps("a", "b", "c", "d"), runner);
  assert.equal(seen.most, 2);
});

Deno.test("a step that cannot be started counts as failed", async () => {
  const { runner } = fakeRunner({ broken: new Error("no such program") });
  const [result] = await runSteps(steps("broken"), runner);
  assert.equal(result?.ok, false);
  assert.match(result?.output ?? "", /no such program/);
});

Deno.test("the last line counts and names the failed steps", () => {
  const result = (name: string, ok: boolean) => ({ name, ok, duration_ms: 1, output: "" });
  assert.equal(
    verdict("ok", [result("fmt", true), result("lint", true)], 2345),
    "ok: all 2 steps ok in 2.3 s",
  );
  assert.equal(
    verdict("ok", [result("fmt", false), result("lint", true), result("sizes", false)], 61_000),
    "ok: FAILED 2 of 3 steps in 61.0 s: fmt, sizes",
  );
});

Deno.test("a step is a deno process whose exit code and output are kept", async () => {
  const good = await executeStep({ name: "eval", args: ["eval", "console.log('yes')"] });
  assert.deepEqual(good, { ok: true, output: "yes\n" });
  const bad = await executeStep({ name: "eval", args: ["eval", "Deno.exit(3)"] });
  assert.equal(bad.ok, false);
});
