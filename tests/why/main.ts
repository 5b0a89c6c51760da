/**
 * `deno task chaos:why [--minutes 10 | --seconds 120] [--questions 1000] [--shields 2] [--users 8]
 * [--seed N]`: what
 * `GET /v1/why` says of random messages and users while Shields are killed, stopped, restarted and cut
 * off. Exits 0 when every answer is right by what the clients saw, 1 with what is wrong.
 */
import { runTask } from "../harness/task.ts";
import { maybe, seed, whole } from "../harness/task_arguments.ts";
import { runWhy } from "./run.ts";

const USAGE = {
  command: "deno task chaos:why",
  about:
    `Asks for the outcome of random messages for random users while Shields are killed, stopped,
restarted and cut off, clients are kicked, banned and slow, and a policy refuses; then compares every
answer with what the clients of the script saw themselves.`,
  options: {
    seconds: whole(120, "how long Shields are hurt", { low: 20 }),
    minutes: maybe(whole(10, "the same in minutes; goes before --seconds")),
    questions: whole(1_000, "pairs of a message and a user"),
    shields: whole(2, "Shields", { low: 2 }),
    users: whole(8, "of each of two tenants, with two clients each"),
    seed: seed(),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { minutes, seconds, questions, shields, users, seed } = values;
    const verdict = await runWhy({
      seconds: minutes === undefined ? seconds : 60 * minutes,
      ...{ questions, shields, users, seed, hit_ms: 2_000, slow_ms: 15_000 },
      ...{ away_ms: [1_000, 4_000], pause_ms: [2_000, 10_000], idle_ms: [50, 400] },
    }, say);
    console.log(`\n${verdict.report.join("\n")}`);
    return verdict;
  });
}
