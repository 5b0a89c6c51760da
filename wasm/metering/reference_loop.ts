/**
 * The loop against which the price of a unit is measured: a chain of dependent 32-bit multiplications,
 * three cycles each on every current core. A ratio to it is the same on slow and fast machines. For tests
 * and benchmarks.
 */
import process from "node:process";

const REPEATS = 32;
/** local 1 = local 1 × local 2, in the binary format. */
const MULTIPLY = [0x20, 1, 0x20, 2, 0x6c, 0x21, 1];
/** `run(n)`: local 1 = 3, local 2 = n | 1, n times `REPEATS` of `MULTIPLY`, and local 1 again. */
const BODY = [
  ...[0x01, 0x02, 0x7f, 0x41, 3, 0x21, 1, 0x20, 0, 0x41, 1, 0x72, 0x21, 2, 0x03, 0x40],
  ...Array<number[]>(REPEATS).fill(MULTIPLY).flat(),
  ...[0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, 1, 0x0b],
];
const leb = (size: number) => [(size & 0x7f) | 0x80, size >> 7];
const CODE = [1, ...leb(BODY.length), ...BODY];
const MODULE = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 6, 1, 0x60, 1, 0x7f, 1, 0x7f],
  ...[3, 2, 1, 0],
  ...[7, 7, 1, 3, 0x72, 0x75, 0x6e, 0, 0],
  ...[10, ...leb(CODE.length), ...CODE],
]);
/** Long against the clock's resolution, short against disturbances of the machine. */
const ROUND_MS = 0.5;

const { exports } = new WebAssembly.Instance(new WebAssembly.Module(MODULE));
const run = exports["run"] as (turns: number) => number;

/**
 * The duration of `action` in ms: by the clock, or in CPU time of this process if that is less. While other processes
 * have the core, the clock advances; while other threads of this process run, its CPU time does.
 */
export function timed(action: () => void): number {
  const used = process.cpuUsage();
  const began_ms = performance.now();
  action();
  const took_ms = performance.now() - began_ms;
  const { user, system } = process.cpuUsage(used);
  return Math.min(took_ms, (user + system) / 1_000 || Infinity);
}

/** The repetitions that take `ROUND_MS`; each count is tried twice, or one long pause would decide. */
export function turnsFor(action: (turns: number) => void, most = 1 << 26): number {
  for (let turns = 1;; turns *= 2) {
    const least_ms = Math.min(timed(() => action(turns)), timed(() => action(turns)));
    if (least_ms >= ROUND_MS || turns >= most) return turns;
  }
}

const TURNS = turnsFor(run);

/** ns of one multiplication, now: the minimum of three. */
export function multiplicationNs(): number {
  const rounds = [1, 2, 3].map(() => timed(() => run(TURNS)));
  return Math.min(...rounds) * 1e6 / TURNS / REPEATS;
}
