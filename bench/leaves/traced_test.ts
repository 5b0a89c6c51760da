/** The cost of tracing for a message that is not recorded. */
import assert from "node:assert/strict";
import { measureFrom } from "./measure.ts";

const TRACED = new URL("./testing/traced.ts", import.meta.url).href;
/** Tolerance: the refills of the pool of random bytes make some garbage too. */
const NOISE_BYTES = 16;

Deno.test("with tracing on, a message that is not sampled makes no garbage of its own", async () => {
  const [off, on] = await measureFrom(TRACED, ["off", "on, not sampled"]);
  assert.ok(off !== undefined && on !== undefined);
  assert.ok(off.value > 0);
  assert.ok(on.value <= off.value + NOISE_BYTES, `${on.value} B instead of ${off.value} B`);
});
