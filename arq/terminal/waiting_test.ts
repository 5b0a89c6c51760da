// Waits that a stop signal ends.
import assert from "node:assert/strict";
import { pause, unlessStopped } from "./io.ts";

Deno.test("a pause ends at once when everything stops", async () => {
  const stop = new AbortController();
  const waiting = pause(3_600_000, stop.signal);
  stop.abort();
  await waiting;
  await pause(3_600_000, stop.signal);
});

Deno.test("waiting ends with the signal, or earlier with its own end", async () => {
  const stop = new AbortController();
  assert.equal(await unlessStopped(stop.signal, Promise.resolve(1)), 1);
  await assert.rejects(unlessStopped(stop.signal, Promise.reject(new Error("its own"))), /its own/);
  const waiting = unlessStopped(stop.signal, new Promise(() => {}));
  stop.abort(new Error("stopped"));
  await assert.rejects(waiting, /stopped/);
  await assert.rejects(unlessStopped(stop.signal, Promise.resolve(1)), /stopped/);
});
