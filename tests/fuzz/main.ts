/**
 * `deno task fuzz [--runs 1000000] [--target T] [--seed N] [--from PLACE]`: feeds every decoder with mutated input.
 * Prints a table; exits 1 when an input was handled wrongly, and saves it in `.arqon/fuzz`.
 */
import { maybe, oneOf, seed, whole } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";
import { runTarget, type TargetResult } from "./run.ts";
import { makeTarget, TARGETS } from "./targets.ts";

/** No input takes this long, even on a slow machine. */
const WATCH_MS = 120_000;
const OUT = new URL("../../.arqon/fuzz/", import.meta.url);

const USAGE = {
  command: "deno task fuzz",
  about:
    `Feeds every decoder with mutated input. Exits 1 when an input was taken badly, and leaves it in
.arqon/fuzz. Targets: ${TARGETS.join(", ")}.`,
  options: {
    runs: whole(1_000_000, "inputs, over all targets"),
    target: maybe(oneOf(TARGETS, "", "one of them alone")),
    seed: seed(1_000_000_000),
    from: whole(0, "the first input of each target", { low: 0 }),
  },
};

/** The number of inputs for each, by its weight; at least one. */
async function shares(names: readonly string[], runs: number): Promise<Map<string, number>> {
  const weights = await Promise.all(names.map(async (name) => (await makeTarget(name)).weight));
  const all = weights.reduce((sum, weight) => sum + weight, 0);
  return new Map(
    names.map((name, at) => [name, Math.max(1, Math.ceil(runs * weights[at]! / all))]),
  );
}

function line(result: TargetResult): string {
  const { target, done, taken, refused, duration_ms, slowest_ms, slope_bytes, problem } = result;
  return [
    target.padEnd(18),
    String(done).padStart(9),
    String(taken).padStart(9),
    String(refused).padStart(9),
    `${Math.round(done / (duration_ms / 1_000))}/s`.padStart(11),
    `${slowest_ms.toFixed(1)} ms`.padStart(11),
    `${Math.round(slope_bytes)} B`.padStart(9),
    problem === undefined ? "ok" : "FAILED",
  ].join("  ");
}

async function keep({ target, input }: TargetResult, seed: number): Promise<void> {
  if (input === undefined) return;
  await Deno.mkdir(OUT, { recursive: true });
  const file = new URL(`${target}.${seed}.bin`, OUT);
  await Deno.writeFile(file, input);
  console.log(`kept in ${file.pathname}; when it is fixed, move it to tests/fuzz/found`);
}

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async ({ runs, target, seed, from }) => {
    const plan = await shares(target === undefined ? TARGETS : [target], runs);
    console.log(`seed ${seed}\n`);
    console.log(
      "target                inputs      taken    refused        speed      slowest  /1,000 in",
    );
    let failed = 0;
    let done = 0;
    for (const [target, runs] of plan) {
      const result = await runTarget({ target, seed, from, runs, watch_ms: WATCH_MS });
      console.log(line(result));
      done += result.done;
      if (result.problem === undefined) continue;
      failed++;
      console.log(result.problem);
      await keep(result, seed);
    }
    console.log(`\n${done} inputs, seed ${seed}: ${failed === 0 ? "PASSED" : `${failed} FAILED`}`);
    return failed === 0 ? 0 : 1;
  });
}
