/** The cache beside the modules in force: its times, its size, and freed memory. */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { Kept } from "./kept.ts";

Deno.test("an unused module is dropped", async () => {
  const kept = new Kept<object>({ max: 2, kept_ms: 50 });
  const make = () => Promise.resolve({});
  const first = await kept.get("a", make);
  assert.equal(await kept.get("a", make), first);
  await until("it is dropped", () => kept.size === 0);
  assert.equal(kept.released, 1);
  assert.notEqual(await kept.get("a", make), first, "made again");
  kept.close();
});

Deno.test("each use restarts the time, the least recently used is dropped first, and a failure is not kept", async () => {
  const kept = new Kept<number>({ max: 2, kept_ms: 60_000 });
  const requests: string[] = [];
  const ask = (key: string) =>
    kept.get(key, () => {
      requests.push(key);
      return key === "bad" ? Promise.reject(new Error("bad")) : Promise.resolve(requests.length);
    });
  await ask("a");
  await ask("b");
  await ask("a");
  await ask("c");
  assert.deepEqual([kept.size, kept.released], [2, 1]);
  await ask("a");
  assert.deepEqual(requests, ["a", "b", "c"]);
  await assert.rejects(ask("bad"));
  assert.equal(kept.size, 1, "the places of a and of the failed one");
  await assert.rejects(ask("bad"));
  assert.deepEqual(requests, ["a", "b", "c", "bad", "bad"]);
  kept.close();
  assert.equal(kept.size, 0);
});
