/**
 * The script `deno task chaos:members` in short: two rounds of faults, a receiver that is down, and a restart of
 * everything.
 */
import assert from "node:assert/strict";
import { SHORT } from "../chaos/variant.ts";
import { runMembers } from "./run.ts";

Deno.test("journals are who is there, hooks tell all of it once, and a rolling restart lets nobody leave", async () => {
  const lines: string[] = [];
  const plan = { variant: SHORT, seconds: 10, rounds: 2, clients: 40, down_seconds: 4, seed: 3 };
  const { problems, report, dir } = await runMembers(plan, (line) => lines.push(line));
  const story = [...problems, ...lines, ...report, `logs in ${dir}`].join("\n");
  assert.deepEqual(problems, [], story);
  assert.match(report.join("\n"), /hooks +[1-9]/, story);
  await Deno.remove(dir!, { recursive: true });
});
