/** An endless chain of jobs lets the sockets in between its turns. */
import assert from "node:assert/strict";
import { turnsOfAnEcho } from "../../testing/echo_turns.ts";
import { lookAtSockets, turn } from "../../turns/next_turn.ts";
import { JobQueue } from "./job_queue.ts";

/** The number of jobs until a byte has been sent and echoed, each pushed after the previous one has run. */
const jobsOfAnEcho = (turns: JobQueue): Promise<number> =>
  turnsOfAnEcho((run) => queueMicrotask(() => turns.push({ run })));

Deno.test("jobs that trigger each other forever let the sockets run every few turns", async () => {
  const end = lookAtSockets();
  // The clock does not advance: no job is later than necessary.
  const turns = new JobQueue(() => 0);
  // Only now there is a connection for it.
  await jobsOfAnEcho(turns);
  await turn();
  const counts: number[] = [];
  for (let i = 0; i < 10; i++) counts.push(await jobsOfAnEcho(turns));
  end();
  assert(Math.max(...counts) <= 100, `an echo took ${counts.join(", ")} jobs`);
});
