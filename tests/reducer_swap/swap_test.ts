/** `deno task show:swap` in short: a deploy under some connections ends none of them. */
import assert from "node:assert/strict";
import { swapUnder } from "./swap.ts";

Deno.test("a module comes into force under connections, of which none ends", async () => {
  const { connections, ended, refused, twice } = await swapUnder(60, 6);
  assert.deepEqual({ connections, ended, refused, twice }, {
    ...{ connections: 60, ended: 0, refused: 0, twice: 0 },
  });
});
