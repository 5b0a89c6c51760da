/** One has the singular; every other number, also 0, has the plural. */
import assert from "node:assert/strict";
import { plural } from "./plural.ts";

Deno.test("only 1 is singular", () => {
  assert.deepEqual([0, 1, 2, 1.5].map((count) => plural(count, "schema")), [
    "0 schemas",
    "1 schema",
    "2 schemas",
    "1.5 schemas",
  ]);
  assert.equal(plural(1n, "policy", "policies"), "1 policy");
  assert.equal(plural(7n, "policy", "policies"), "7 policies");
});
