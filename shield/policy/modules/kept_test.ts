/** What is kept beside the modules in force: for how long, how many, and that it is given back. */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { createCompiler } from "./compile.ts";
import { Kept } from "./kept.ts";
import { meteredGuest } from "../testing/guests.ts";

Deno.test("a compiled module that nobody asks for any more is given back", async () => {
  const compiler = createCompiler({ kept_ms: 200 });
  const bytes = meteredGuest({ body: "i32.const 0" });
  const first = await compiler.compile("a", bytes);
  await until("it is given back", () => compiler.kept === 0);
  assert.equal(compiler.released, 1);
  assert.notEqual(await compiler.compile("a", bytes), first, "compiled anew");
  await until("that, too", () => compiler.kept === 0);
  assert.equal(compiler.released, 2);
  compiler.close();
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
