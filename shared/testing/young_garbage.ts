/** Young collections of the garbage collector, and the garbage that they leave. Tests only. */
import { memoryUsage } from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Objects allocated between two looks at the heap. */
const A_LOOK = 500;

let last: unknown;

/** Allocates until a young collection has run. An object that survives two of them is old. */
export function collectYoung(): void {
  let before = 0;
  for (let used = 0; used >= before; used = memoryUsage().heapUsed) {
    before = used;
    for (let count = 0; count < A_LOOK; count++) last = [count, last === undefined];
  }
}

/** The bytes of garbage after this work that only a full collection frees. */
export function oldGarbageOf(work: () => void): number {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  work();
  collect();
  const before = memoryUsage().heapUsed;
  work();
  collectYoung();
  collectYoung();
  const after = memoryUsage().heapUsed;
  collect();
  return after - Math.max(before, memoryUsage().heapUsed);
}
