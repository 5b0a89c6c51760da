/**
 * What the price of a unit is held to: a chain of 32-bit multiplications, each waiting for the one
 * before, three cycles each on every current core. A ratio to it says the same on a slow machine and
 * on a fast one. For tests and benchmarks.
 */
import { fromText } from "../wasm/test_bytes.ts";

const REPEATS = 32;
const REFERENCE = `(module (func (export "run") (param $n i32) (result i32)
  (local $x i32) (local $y i32)
  (local.set $x (i32.const 3)) (local.set $y (i32.or (local.get $n) (i32.const 1)))
  (loop $turn
    ${"(local.set $x (i32.mul (local.get $x) (local.get $y)))".repeat(REPEATS)}
    (br_if $turn (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $x)))`;
/** Long against the clock's step, short against the machine's moods. */
const ROUND_MS = 0.5;

const { exports } = new WebAssembly.Instance(new WebAssembly.Module(fromText(REFERENCE)));
const run = exports["run"] as (turns: number) => number;

/** How long `action` takes, in ms. */
export function timed(action: () => void): number {
  const began_ms = performance.now();
  action();
  return performance.now() - began_ms;
}

/** How often something has to be done to take `ROUND_MS`; twice each, or one long pause would decide. */
export function turnsFor(action: (turns: number) => void, most = 1 << 26): number {
  for (let turns = 1;; turns *= 2) {
    const least_ms = Math.min(timed(() => action(turns)), timed(() => action(turns)));
    if (least_ms >= ROUND_MS || turns >= most) return turns;
  }
}

const TURNS = turnsFor(run);

/** ns of one multiplication, now: the least of three. */
export function multiplicationNs(): number {
  const rounds = [1, 2, 3].map(() => timed(() => run(TURNS)));
  return Math.min(...rounds) * 1e6 / TURNS / REPEATS;
}
