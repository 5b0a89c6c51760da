/**
 * Random schedules of Shields, Brains, clients and faults: after the faults everybody agrees with the
 * truth, and no client was ever told something wrong (`play.ts`, `viewer.ts`). A failing seed is
 * printed with its schedule, made as small as it gets.
 */
import assert from "node:assert/strict";
import type { Tally } from "./simulate.ts";
import type { Share } from "./worker.ts";

const SCHEDULES = 10_000;
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

Deno.test("presence converges, and nobody is told something wrong, in 10,000 random schedules", async () => {
  const count = SCHEDULES / WORKERS;
  const shares = Array.from({ length: WORKERS }, (_, index) => ({
    first: 1 + index,
    count,
    step: WORKERS,
  }));
  const tallies = await Promise.all(shares.map(onThread));
  const failures = tallies.flatMap((tally) => tally.failures);
  assert.equal(failures.length, 0, `\n${failures.join("\n\n")}`);
  assert.equal(tallies.reduce((sum, { played }) => sum + played, 0), SCHEDULES);
});
