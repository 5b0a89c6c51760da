/**
 * A short run of `deno task chaos --focus reducers`: owners are killed and disconnected during calls, and everything is
 * judged.
 */
import assert from "node:assert/strict";
import { runReducers } from "./run.ts";

Deno.test("calls under owners that are killed and cut off are applied once, in one order", async () => {
  const lines: string[] = [];
  const plan = {
    seconds: 8,
    every_ms: 2_000,
    rooms: 6,
    callers_per_room: 3,
    seed: 7,
    elsewhere: 0,
  };
  const verdict = await runReducers({ ...plan, servers: 1 }, (line) => lines.push(line));
  const { problems, report, dir } = verdict;
  const story = [...problems, ...lines, ...report, `logs in ${dir}`].join("\n");
  assert.deepEqual(problems, [], story);
  assert.match(report.join("\n"), /calls +[1-9]/, story);
  await Deno.remove(dir!, { recursive: true });
});
