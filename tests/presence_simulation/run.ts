/**
 * Runs schedules of the presence simulation: `deno run tests/presence_simulation/run.ts --seed N [--count M]
 * [--verbose] [--fast]`. Prints each failing seed with its schedule, shrunk (`--fast`: only the first violation, not
 * shrunk); exits with 1 if one failed. The tests use `simulate.ts`.
 */
import { parseArgs } from "node:util";
import { play } from "./play.ts";
import { generate } from "./generate.ts";
import { describe } from "./schedule.ts";
import { report } from "./simulate.ts";
import { showLog } from "./world.ts";

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      seed: { type: "string", default: "1" },
      count: { type: "string", default: "1" },
      verbose: { type: "boolean", default: false },
      fast: { type: "boolean", default: false },
    },
  });
  const first = Number(values.seed);
  const count = Number(values.count);
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1) {
    console.error("--seed and --count are whole numbers, --count at least 1");
    Deno.exit(2);
  }
  if (values.verbose) showLog((line) => console.error(line.trimEnd()));
  const started_ms = performance.now();
  let failures = 0;
  let simulated_ms = 0;
  let delivered = 0;
  for (let seed = first; seed < first + count; seed++) {
    const schedule = generate(seed);
    if (values.verbose) console.log(describe(schedule));
    const outcome = play(schedule);
    simulated_ms += outcome.simulated_ms;
    delivered += outcome.delivered;
    if (outcome.violations.length === 0) continue;
    failures++;
    if (values.fast) console.log(`seed ${seed} fails: ${outcome.violations[0]}`);
    else console.log(report(schedule, outcome));
  }
  const seconds = (performance.now() - started_ms) / 1_000;
  console.log(
    `${count} schedules, ${failures} failed; ${Math.round(simulated_ms / 60_000)} simulated ` +
      `minutes, ${delivered} messages, in ${seconds.toFixed(1)} s`,
  );
  Deno.exit(failures === 0 ? 0 : 1);
}
