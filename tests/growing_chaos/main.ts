/**
 * `deno task chaos:growing [--answers 1000] [--at_once 20] [--every 60] [--stops 200]`: answers that grow while
 * Shields and tabs are killed. Exits 0 when every text is its source's, byte for byte, 1 with what is wrong.
 */
import { runTask } from "../harness/task.ts";
import { whole } from "../harness/task_arguments.ts";
import { runGrowing } from "./run.ts";

const USAGE = {
  command: "deno task chaos:growing",
  about:
    `Answers that grow on two Shields on NATS, half of them masked by a policy, while Shields and the process
with the readers' tabs are killed. What every reader hears at any moment, and what the rooms store, must be the
source's text, masked where it is. Then answers are stopped from another Shield, and the time is measured until
their source has ended. Exits 1 when a text is another one.`,
  options: {
    answers: whole(1_000, "how many answers", { low: 8 }),
    at_once: whole(20, "how many grow at once"),
    every: whole(60, "a Shield and all tabs are killed whenever so many answers more have begun"),
    stops: whole(200, "answers that are stopped in the end"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async ({ answers, at_once, every, stops }, say) => {
    const verdict = await runGrowing({ answers, at_once, answers_per_kill: every, stops }, say);
    console.log(`\n${verdict.report.join("\n")}`);
    return verdict;
  });
}
