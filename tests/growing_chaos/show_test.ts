/** The script `deno task chaos:growing` in short. */
import assert from "node:assert/strict";
import { runGrowing } from "./run.ts";

Deno.test("answers grow over killed Shields and tabs, masked or not, and are stopped from another Shield", async () => {
  const lines: string[] = [];
  const plan = { answers: 32, at_once: 8, answers_per_kill: 12, stops: 5 };
  const { problems, report } = await runGrowing(plan, (line) => lines.push(line));
  const story = [...problems, ...lines, ...report].join("\n");
  assert.deepEqual(problems, [], story);
  assert.match(report.join("\n"), /killed +[1-9]/, story);
});
