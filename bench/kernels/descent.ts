// One recursion 1,000 calls deep, as a parser of nested values makes it.
import { fillInput, INPUT, INPUT_BYTES } from "./layout";

/** Called once, before anything is timed. */
export function prepare(): void {
  fillInput();
}

function descend(depth: i32, sum: i32): i32 {
  if (depth == 0) return sum;
  const byte = <i32>load<u8>(INPUT + (<usize>depth & (INPUT_BYTES - 1)));
  return descend(depth - 1, sum ^ byte) + byte;
}

/** One way down and up again. */
export function run(): i32 {
  return descend(1000, 0);
}
