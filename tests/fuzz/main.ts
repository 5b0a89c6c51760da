/**
 * `deno task fuzz [--runs 1000000] [--target T] [--seed N] [--from PLACE]`: feeds every decoder with
 * mutated input. A table; exits 1 when an input was taken badly, and leaves it in `.arqon/fuzz`.
 */
import { parseArgs } from "node:util";
import { endOnSignal } from "../harness/end_on_signal.ts";
import { runTarget } from "./run.ts";
import type { TargetResult } from "./run.ts";
import { makeTarget, TARGETS } from "./targets.ts";

const RUNS = "1000000";
/** Slower machines are slower, but no input takes this long. */
const WATCH_MS = 120_000;
const OUT = new URL("../../.arqon/fuzz/", import.meta.url);

function whole(name: string, text: string, low: number): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= low) return number;
  console.error(`--${name} ${JSON.stringify(text)}: expected a whole number of at least ${low}`);
  Deno.exit(2);
}

function chosen(name: string | undefined): readonly string[] {
  if (name === undefined) return TARGETS;
  if (TARGETS.includes(name)) return [name];
  console.error(`--target ${JSON.stringify(name)}: expected one of ${TARGETS.join(", ")}`);
  Deno.exit(2);
}

/** How many inputs each gets, by its weight; never none. */
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
  endOnSignal();
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: RUNS },
      target: { type: "string" },
      seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
      from: { type: "string", default: "0" },
    },
  });
  const seed = whole("seed", values.seed, 0);
  const from = whole("from", values.from, 0);
  const plan = await shares(chosen(values.target), whole("runs", values.runs, 1));
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
  Deno.exit(failed === 0 ? 0 : 1);
}
