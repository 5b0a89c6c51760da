/**
 * Measures leaves, each in a separate process with flags for repeatable figures. Reads and writes the record;
 * `compare.ts` compares.
 */
import { runProgram } from "../measure/program.ts";
import { ROOT } from "../measure/scenario.ts";
import type { Recorded } from "./compare.ts";
import type { Leaf, LeafFigure } from "./leaf.ts";
import { PATH_LEAVES } from "./path_leaves.ts";
import { POLICY_LEAVES } from "./policy_leaves.ts";
import { PROCESS_LEAVES } from "./process_leaves.ts";
import { WIRE_LEAVES } from "./wire_leaves.ts";

/** All leaves in the order of the table. Add a new one to the file of its kind. */
export const LEAVES: readonly Leaf[] = [
  ...WIRE_LEAVES,
  ...PATH_LEAVES,
  ...PROCESS_LEAVES,
  ...POLICY_LEAVES,
];

const RECORD = `${ROOT}/bench/leaves/recorded.json`;

/**
 * Flags for the engine: no work on other threads, so that each run optimises at the same calls, and a young generation
 * that holds a whole round, so that no collection frees memory while it is counted.
 */
const V8_FLAGS = [
  "--expose-gc",
  "--single-threaded",
  "--min-semi-space-size=256",
  "--max-semi-space-size=256",
];
/** Flags and permissions of the child, which may only read the checkout. */
const FLAGS = [`--v8-flags=${V8_FLAGS.join(",")}`, "--allow-read"];
/** Children that run at a time. */
const LANES = 2;

/** Measures the named leaves of a module's list `LEAVES`, in their order. Rejects when one throws. */
export async function measureFrom(module: string, names: readonly string[]): Promise<LeafFigure[]> {
  const figures = new Map<string, LeafFigure>();
  const waiting = [...names];
  const lane = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const args = [module, name];
      figures.set(name, await runProgram("bench/leaves/leaves_child.ts", args, FLAGS));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return names.map((name) => figures.get(name)!);
}

/** Measures every leaf, or those whose name contains `only`. */
export function measureLeaves(only = ""): Promise<LeafFigure[]> {
  const wanted = LEAVES.filter(({ name }: Leaf) => name.includes(only));
  return measureFrom(import.meta.url, wanted.map(({ name }) => name));
}

/** The record of this checkout. */
export async function readRecorded(): Promise<Recorded> {
  return JSON.parse(await Deno.readTextFile(RECORD));
}

/** Replaces the record of this checkout. */
export async function writeRecorded(figures: readonly LeafFigure[]): Promise<void> {
  const { deno, v8 } = Deno.version;
  const values = Object.fromEntries(figures.map(({ name, value }) => [name, value]));
  const recorded: Recorded = { deno, v8, figures: values };
  await Deno.writeTextFile(RECORD, JSON.stringify(recorded, null, 2) + "\n");
}
