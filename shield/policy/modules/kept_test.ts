/** The cache beside the modules in force: how long, how many, and that memory is freed. */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { Kept } from "./kept.ts";

Deno.test("what nobody asks for any more is given back", async () => {
  const kept = new Kept<object>({ max: 2, kept_ms: 50 });
  const make = () => Promise.resolve({});
  const first = await kept.get("a", make);
  assert.equal(await kept.get("a", make), first);
  await until("it is given back", () => kept.size === 0);
  assert.equal(kept.released, 1);
  assert.notEqual(await kept.get("a", make), first, "made anew");
  kept.close();
});

Deno.test("a use counts from then on, the least used goes first, a failure is not kept", async () => {
  const kept = new Kept<number>({ max: 2, kept_ms: 60_000 });
  const asked: string[] = [];
  const ask = (key: string) =>
    kept.get(key, () => {
      asked.push(key);
      return key === "bad" ? Promise.reject(new Error("bad")) : Promise.resolve(asked.length);
    });
  await ask("a");
  await ask("b");
  await ask("a");
  await ask("c");
  assert.deepEqual([kept.size, kept.released], [2, 1]);
  await ask("a");
  assert.deepEqual(asked, ["a", "b", "c"]);
  await assert.rejects(ask("bad"));
  assert.equal(kept.size, 1, "a and the failed one's place");
  await assert.rejects(ask("bad"));
  assert.deepEqual(asked, ["a", "b", "c", "bad", "bad"]);
  kept.close();
  assert.equal(kept.size, 0);
});
