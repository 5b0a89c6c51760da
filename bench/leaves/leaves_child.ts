/**
 * A program that measures one leaf. Its arguments are a module with a list `LEAVES` and the leaf's name; it prints a
 * `LeafFigure` as JSON. With these flags of V8 and in a separate process, the same code gives the same figure within
 * about a byte. `measure.ts` starts it.
 */
import { getHeapStatistics } from "node:v8";
import { median } from "../measure/statistics.ts";
import type { AllocationLeaf, Leaf, LeafFigure } from "./leaf.ts";

/** Rounds before any counts, after which the engine has finished optimising. */
const WARM_UP_ROUNDS = 12;
const ROUNDS = 5;

declare const gc: () => void;

/** The engine counts reserved bytes, which exceed the used bytes by at most this. */
const SET_ASIDE_BYTES = 2_097_152;

/**
 * The allocated bytes at one moment. `used_bytes` counts the heap and the contents of arrays: everything that was
 * allocated while no GC runs.
 */
interface Taken {
  readonly used_bytes: number;
  /** Bytes set aside on the heap alone, whether collected or not. */
  readonly ever_bytes: number;
  readonly heap_bytes: number;
}

function taken(): Taken {
  // The types of node:v8 do not have two of these members.
  const { used_heap_size: heap_bytes, ...rest } = getHeapStatistics();
  const { external_memory, total_allocated_bytes: ever_bytes } = rest as unknown as Record<
    "external_memory" | "total_allocated_bytes",
    number
  >;
  return { heap_bytes, ever_bytes, used_bytes: heap_bytes + external_memory };
}

/** The bytes of a round. Throws RangeError when some of them were collected already. */
function growth(before: Taken, after: Taken): number {
  const counted_bytes = after.heap_bytes - before.heap_bytes;
  const ever_bytes = after.ever_bytes - before.ever_bytes;
  if (ever_bytes - counted_bytes > SET_ASIDE_BYTES) {
    throw new RangeError(`${counted_bytes} of ${ever_bytes} bytes are left: fewer times`);
  }
  return after.used_bytes - before.used_bytes;
}

/** The garbage of one operation: the median of the rounds. */
async function garbageOf({ open, times }: AllocationLeaf): Promise<number> {
  const run = await open();
  for (let round = 0; round < WARM_UP_ROUNDS; round++) await run(times);
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    gc();
    const before = taken();
    await run(times);
    rounds.push(growth(before, taken()));
  }
  return Math.round(median(rounds) / times);
}

async function measure(leaf: Leaf): Promise<LeafFigure> {
  const { name, unit } = leaf;
  const value = leaf.unit === "B" ? await garbageOf(leaf) : await leaf.count();
  return { name, unit, value };
}

if (import.meta.main) {
  const [module = "", name = ""] = Deno.args;
  const { LEAVES }: { LEAVES: readonly Leaf[] } = await import(module);
  const leaf = LEAVES.find((one) => one.name === name);
  if (leaf === undefined) throw new Error(`${module} has no leaf ${name}`);
  console.log(JSON.stringify(await measure(leaf)));
  Deno.exit(0);
}
