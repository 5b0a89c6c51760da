/** A wait within a limit: what it returns, and that it leaves no timer behind (the test runner checks that). */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { pause, within } from "./within.ts";

const never = new Promise<never>(() => {});

Deno.test("work within its limit gives its result or its error, and no timer is left", async () => {
  assert.equal(await within(60_000, Promise.resolve("done"), () => "late"), "done");
  await assert.rejects(within(60_000, Promise.reject(new RangeError("no")), () => "late"), /no/);
});

Deno.test("work beyond its limit gives what `late` returns or throws; it may reject later", async () => {
  const { promise, reject } = Promise.withResolvers<string>();
  assert.equal(await within(1, promise, () => "late"), "late");
  reject(new Error("nobody waits"));
  const fail = () => {
    throw new RangeError("too late");
  };
  await assert.rejects(within(1, never, fail), /too late/);
});

Deno.test("a pause ends with its signal, also with one that has aborted, and leaves no listener", async () => {
  const ending = new AbortController();
  const { signal } = ending;
  assert.equal(await pause(1, signal), true);
  assert.equal(getEventListeners(signal, "abort").length, 0);
  const waiting = pause(2 ** 31 - 1, signal);
  ending.abort();
  assert.equal(await waiting, false);
  assert.equal(await pause(2 ** 31 - 1, signal), false);
});
