/** Runs seeds on two threads, for the short and the long test. */
import assert from "node:assert/strict";
import type { Tally } from "./simulate.ts";
import type { Share } from "./worker.ts";

const WORKERS = 2;

function onThread(share: Share): Promise<Tally> {
  const { promise, resolve, reject } = Promise.withResolvers<Tally>();
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }: MessageEvent<Tally>) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(event.message));
  };
  worker.postMessage(share);
  return promise.finally(() => worker.terminate());
}

/** The seeds from 1 to `schedules`: none may fail. A failing one is printed with its schedule. */
export async function requireConverging(schedules: number): Promise<void> {
  const count = schedules / WORKERS;
  const shares = Array.from({ length: WORKERS }, (_, index) => ({
    first: 1 + index,
    count,
    step: WORKERS,
  }));
  const tallies = await Promise.all(shares.map(onThread));
  const failures = tallies.flatMap((tally) => tally.failures);
  assert.equal(failures.length, 0, `\n${failures.join("\n\n")}`);
  assert.equal(tallies.reduce((sum, { played }) => sum + played, 0), schedules);
}
