/** The order in which modules are made ready. There is no clock: the test ends every job. */
import assert from "node:assert/strict";
import { turn } from "../../../shared/testing/pace.ts";
import { ModuleQueue, QUICK_AT_ONCE, TRIED_AT_ONCE } from "./module_set.ts";

/** A queue whose jobs note their names and wait; names with a "k" are known. */
function startQueue() {
  const queue = new ModuleQueue((sha256) => Promise.resolve(sha256.includes("k")));
  const begun: string[] = [];
  const open = new Map<string, () => void>();
  const add = (name: string, tenant = name) =>
    queue.run(name, new Set([tenant]), () => {
      begun.push(name);
      return new Promise<void>((resolve) => open.set(name, resolve));
    });
  const end = async (name: string) => {
    open.get(name)!();
    await turn();
  };
  return { queue, begun, add, end };
}

Deno.test("modules that need a trial do not delay others", async () => {
  const { begun, add, end } = startQueue();
  for (let at = 0; at < 6; at++) add(`slow${at}`);
  for (let at = 0; at < 6; at++) add(`k${at}`);
  await turn();
  const slow = begun.filter((name) => name.startsWith("slow"));
  const quick = begun.filter((name) => name.startsWith("k"));
  assert.deepEqual([slow.length, quick.length], [TRIED_AT_ONCE, QUICK_AT_ONCE]);
  for (let at = 0; at < 6; at++) await end(`k${at}`);
  assert.equal(begun.filter((name) => name.startsWith("k")).join(), "k0,k1,k2,k3,k4,k5");
  assert.equal(begun.length, 6 + TRIED_AT_ONCE, "the slow ones still use only their slots");
});

Deno.test("tenants take turns, and tenants with waiting clients come first", async () => {
  const { queue, begun, add, end } = startQueue();
  for (let at = 0; at < 5; at++) add(`a${at}`, "a");
  add("b0", "b");
  add("c0", "c");
  await turn();
  assert.deepEqual(begun, ["a0", "a1"]);
  queue.urge("c");
  await end("a0");
  assert.deepEqual(begun.slice(2), ["c0"]);
  queue.calm("c");
  await end("a1");
  await end("c0");
  assert.deepEqual(begun.slice(3).sort(), ["a2", "b0"], "one of each tenant, however many it has");
});

Deno.test("a failing job gives its slot to the next", async () => {
  const queue = new ModuleQueue(() => Promise.resolve(false));
  const fail = () => Promise.reject(new Error("no"));
  const failing = ["m0", "m1", "m2", "m3", "m4"].map((m) => queue.run(m, new Set(["a"]), fail));
  const outcomes = await Promise.allSettled(failing);
  assert.ok(outcomes.every(({ status }) => status === "rejected"));
  assert.equal(await queue.run("last", new Set(["a"]), () => Promise.resolve(7)), 7);
});

Deno.test("all quick modules are done while others are still tried", async () => {
  const { queue, add, end } = startQueue();
  await queue.quickDone();
  add("slow");
  for (let at = 0; at <= QUICK_AT_ONCE; at++) add(`k${at}`);
  await turn();
  let is_done = false;
  queue.quickDone().then(() => is_done = true);
  for (let at = 0; at < QUICK_AT_ONCE; at++) await end(`k${at}`);
  assert.equal(is_done, false, "one is left");
  await end(`k${QUICK_AT_ONCE}`);
  assert.equal(is_done, true);
});
