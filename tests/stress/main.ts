/**
 * `deno task stress [--only 7,recovery_storm] [--skip …] [--repeat 1] [--scale 1] [--seed N]`: the
 * self-checking scenarios on real processes. Failures come first; exits 1 when there are any.
 */
import { parseArgs } from "node:util";
import { renderRows } from "../../bench/measure/table.ts";
import { endOnSignal } from "../harness/end_on_signal.ts";
import { above0, fail } from "../harness/task_options.ts";
import { runStress } from "./run.ts";

const DEADLINE_MS = 300_000;
/** Lists that differ are long. */
const FAILURE_CHARACTERS = 2_000;

if (import.meta.main) {
  endOnSignal();
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      "only": { type: "string", default: "" },
      "skip": { type: "string", default: "" },
      "repeat": { type: "string", default: "1" },
      "scale": { type: "string", default: "1" },
      "seed": { type: "string", default: String(Date.now() % 1_000_000) },
      "at-once": { type: "string", default: "4" },
    },
  });
  const list = (text: string) => text.split(",").filter((item) => item !== "");
  const results = await runStress({
    wanted: list(values.only),
    unwanted: list(values.skip),
    repeat: Math.ceil(above0("repeat", values.repeat)),
    scale: above0("scale", values.scale),
    seed: Math.floor(above0("seed", values.seed)),
    at_once: Math.ceil(above0("at-once", values["at-once"])),
    deadline_ms: DEADLINE_MS,
    say: (line) => console.log(line),
  }).catch((error) => {
    if (error instanceof RangeError) fail(error.message);
    throw error;
  });
  const failed = results.filter(({ failure }) => failure !== undefined);
  for (const { number, name, failure = "" } of failed) {
    console.log(`\n${number} ${name}: ${failure.slice(0, FAILURE_CHARACTERS)}`);
  }
  const rows = results.map((
    { number, name, took_ms, failure },
  ) => [
    `${number} ${name}`,
    (took_ms / 1_000).toFixed(1),
    failure === undefined ? "ok" : "FAILED",
  ]);
  console.log(`\n${renderRows(["scenario", "s", ""], rows)}`);
  console.log(
    `\n${failed.length === 0 ? "PASSED" : `FAILED: ${failed.length}`}, seed ${values.seed}`,
  );
  Deno.exit(failed.length === 0 ? 0 : 1);
}
