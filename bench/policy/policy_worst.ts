/**
 * Checks that a unit of fuel never takes longer than promised. Every instruction runs with the slowest operands for
 * processors, under each compiler of the engine, and is compared with a reference loop on the same machine. The figure
 * is a ratio, so it is the same on slow and fast machines.
 */
import wabt from "wabt";
import { meter } from "../../wasm/metering/meter.ts";
import { FUEL_EXPORT, MULTIPLICATIONS_PER_UNIT } from "../../wasm/metering/meter_costs.ts";
import { multiplicationNs, timed, turnsFor } from "../../wasm/metering/reference_loop.ts";
import { kernelText, worstKernels } from "./worst_kernels.ts";
import type { WorstKernel } from "./worst_bulk.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { renderTable } from "../measure/table.ts";

/** The engine's compilers, and the flags that enable only one of them. */
const TIERS: Readonly<Record<string, string>> = {
  baseline: "--liftoff-only",
  optimising: "--no-liftoff",
};
/** Rows of the table: the kernels nearest to the bound. */
const SHOWN = 24;

/** The times of one kernel, as measured by the child process. */
interface WorstTimes {
  readonly name: string;
  readonly ops: readonly number[];
  /** Figures of one repetition: its time, its units, and the time of one multiplication in the reference. */
  readonly ns: number;
  readonly units: number;
  readonly multiplication_ns: number;
}

/** The figures of one kernel under one compiler, in multiplications per unit. */
interface WorstResult extends WorstTimes {
  readonly tier: string;
  readonly ratio: number;
}

interface WorstReport {
  readonly bound: number;
  readonly kernels: readonly WorstResult[];
  /** The largest ratio of a whole kernel. */
  readonly worst: number;
}

const PLENTY = 1n << 60n;
const ATTEMPTS = 16;
const FEATURES = { sat_float_to_int: true, bulk_memory: true, reference_types: true };
const { parseWat } = await wabt();
/** A loop with this many iterations. */
type Run = (turns: number) => void;

interface Form {
  readonly run: Run;
  /** Units of one iteration, and units around the loop. */
  readonly units_per_turn: number;
}

/** The maximum of the configuration: the texts have maxima. */
const OPTIONS = { memory_limit_pages: 65_536 };
/** Minimum duration of a loop; shorter loops get more iterations. */
const LOOP_MS = 0.5;
/** Fresh instances of each round. */
const INSTANCES = 8;

/** Fills every page with different bytes; otherwise the engine could use one page for all. */
function fillMemory(memory: WebAssembly.Memory): void {
  const words = new Uint32Array(memory.buffer);
  let word = 1;
  for (let at = 0; at < words.length; at++) words[at] = word = Math.imul(word, 1_664_525) + at;
}

function compiled(kernel: WorstKernel): WebAssembly.Module {
  const parsed = parseWat("kernel.wat", kernelText(kernel), FEATURES);
  const { bytes } = meter(new Uint8Array(parsed.toBinary({}).buffer), OPTIONS);
  parsed.destroy();
  return new WebAssembly.Module(bytes);
}

/** The minimum time of the single iteration of an instance, and its units. */
function freshTurn(module: WebAssembly.Module, rounds: number): { ns: number; units: number } {
  let ns = Infinity;
  let units = 0;
  for (let made = 0; made < rounds * INSTANCES; made++) {
    const { exports } = new WebAssembly.Instance(module);
    const fuel = exports[FUEL_EXPORT] as unknown as { value: bigint };
    fuel.value = PLENTY;
    ns = Math.min(ns, timed(() => (exports["run"] as Run)(1)) * 1e6);
    units = Number(PLENTY - fuel.value);
  }
  return { ns, units };
}

function formOf(kernel: WorstKernel): Form {
  const { exports } = new WebAssembly.Instance(compiled(kernel));
  const fuel = exports[FUEL_EXPORT] as unknown as { value: bigint };
  const inner = exports["run"] as Run;
  fillMemory(exports["memory"] as WebAssembly.Memory);
  fuel.value = PLENTY;
  (exports["prepare"] as () => void)();
  const run = (turns: number) => {
    fuel.value = PLENTY;
    inner(turns);
  };
  const units = (turns: number) => {
    run(turns);
    return Number(PLENTY - fuel.value);
  };
  return { run, units_per_turn: units(2) - units(1) };
}

const least = (action: () => void, rounds: number): number =>
  Math.min(...Array.from({ length: rounds }, () => timed(action)));

/** The minimum time over the rounds, since other work on the machine only adds time. */
function nsPerTurn({ run }: Form, rounds: number): number {
  const turns = turnsFor(run);
  return least(() => run(turns + 1), rounds) * 1e6 / (turns + 1);
}

/** The minimum time, without the code before the loop. */
function nsBehind({ run }: Form, rounds: number): number {
  for (let turns = 1;; turns *= 2) {
    const before_ms = least(() => run(1), rounds);
    const loop_ms = least(() => run(turns + 1), rounds) - before_ms;
    // A shorter loop is lost in the variation of the code before it.
    if (loop_ms > Math.max(LOOP_MS, before_ms)) return loop_ms * 1e6 / turns;
  }
}

/** Measures one repetition on each call. */
function turnOf(kernel: WorstKernel, rounds: number): () => { ns: number; units: number } {
  const { repeats = 32, before } = kernel;
  if (kernel.fresh === true) {
    const module = compiled(kernel);
    return () => freshTurn(module, rounds);
  }
  const form = formOf(kernel);
  const units = form.units_per_turn / repeats;
  const ns = before === undefined ? nsPerTurn : nsBehind;
  return () => ({ ns: ns(form, rounds) / repeats, units });
}

function measure(kernel: WorstKernel, rounds: number): WorstTimes {
  const { name, ops } = kernel;
  const turn = turnOf(kernel, rounds);
  let times: WorstTimes | undefined;
  let ratio = Infinity;
  // Other work on the machine evicts the caches, so a kernel over the bound is measured again.
  for (let attempt = 0; attempt < ATTEMPTS && ratio > MULTIPLICATIONS_PER_UNIT; attempt++) {
    const multiplication_ns = multiplicationNs();
    const { ns, units } = turn();
    if (ns / units / multiplication_ns > ratio) continue;
    ratio = ns / units / multiplication_ns;
    times = { name, ops, ns, units, multiplication_ns };
  }
  if (times === undefined) throw new Error(`${name}: no time was measured`);
  return times;
}

/** Measures every kernel under every compiler. */
export async function measureWorst(rounds: number): Promise<WorstReport> {
  const kernels: WorstResult[] = [];
  for (const [tier, flag] of Object.entries(TIERS)) {
    console.error(`worst operands, ${tier} compiler ...`);
    const flags = ["--allow-read", "--allow-env", `--v8-flags=${flag}`];
    const times = await measuredBy<WorstTimes[]>(import.meta.url, { rounds }, flags);
    kernels.push(...times.map((one) => (
      { ...one, tier, ratio: one.ns / one.units / one.multiplication_ns }
    )));
  }
  const worst = Math.max(...kernels.map(({ ratio }) => ratio));
  return { bound: MULTIPLICATIONS_PER_UNIT, kernels, worst };
}

/** The table of the kernels nearest to the bound, slowest first. */
export function renderWorst({ kernels, bound, worst }: WorstReport): string {
  const slowest = kernels.toSorted((a, b) => b.ratio - a.ratio).slice(0, SHOWN);
  const table = renderTable(slowest, [
    ["kernel", ({ name }) => name],
    ["compiler", ({ tier }) => tier],
    ["ns", ({ ns }) => ns, 2],
    ["units", ({ units }) => units, 1],
    ["multiplications a unit", ({ ratio }) => ratio, 2],
  ]);
  return `${table}\n${kernels.length} kernels; at most ${
    worst.toFixed(2)
  } multiplications a unit, ` +
    `promised ${bound}: ${worst <= bound ? "kept" : "BROKEN"}`;
}

if (import.meta.main) {
  await answer(({ rounds, only = "" }: { rounds: number; only?: string }) =>
    worstKernels().filter(({ name }) => name.includes(only)).map((one) => measure(one, rounds))
  );
}
