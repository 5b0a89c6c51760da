/** A resource that is opened once: a failure is not cached. */
import assert from "node:assert/strict";
import { openOnce } from "./once.ts";

Deno.test("after a failure the next call opens it, once for all", async () => {
  let tries = 0;
  const open = openOnce(() =>
    ++tries === 1 ? Promise.reject(new Error("away")) : Promise.resolve(7)
  );
  await assert.rejects(Promise.all([open(), open()]), /away/);
  assert.deepEqual(await Promise.all([open(), open(), open()]), [7, 7, 7]);
  assert.equal(tries, 2);
});
