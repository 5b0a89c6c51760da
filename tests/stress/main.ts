/**
 * `deno task stress [--only 7,recovery_storm] [--skip …] [--repeat 1] [--scale 1] [--seed N]`: the
 * self-checking scenarios on real processes. Failures come first in the table, and in words after it;
 * exits 1 when there are any.
 */
import { renderRows } from "../../bench/measure/table.ts";
import { amount, names, seed, whole } from "../harness/task_arguments.ts";
import { refused, runTask } from "../harness/task.ts";
import { runStress } from "./run.ts";

const DEADLINE_MS = 300_000;
/** Lists that differ are long. */
const FAILURE_CHARACTERS = 2_000;

const USAGE = {
  command: "deno task stress",
  about:
    `Self-checking scenarios on four nodes. Exits 1 when one fails or leaves something behind.`,
  options: {
    only: names("these scenarios alone, by number or name: 7,recovery_storm"),
    skip: names("all but these"),
    repeat: whole(1, "how often each is run"),
    scale: amount(1, "a share of the numbers of the list"),
    seed: seed(),
    "at-once": whole(4, "how many run side by side"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { only, skip, repeat, scale, seed } = values;
    const results = await runStress({
      wanted: only,
      unwanted: skip,
      repeat,
      scale,
      seed,
      at_once: values["at-once"],
      deadline_ms: DEADLINE_MS,
      say,
    }).catch(refused);
    const failed = results.filter(({ failure }) => failure !== undefined);
    const rows = results.map((
      { number, name, took_ms, failure },
    ) => [
      `${number} ${name}`,
      (took_ms / 1_000).toFixed(1),
      failure === undefined ? "ok" : "FAILED",
    ]);
    console.log(`\n${renderRows(["scenario", "s", ""], rows)}`);
    const problems = failed.map(({ number, name, failure = "" }) =>
      `${number} ${name}: ${failure.slice(0, FAILURE_CHARACTERS)}`
    );
    return { problems, seed };
  });
}
