/** Metering in its worker has the same results as on this thread, refusals included, and can be ended. */
import assert from "node:assert/strict";
import { meterPolicy } from "../abi/abi_check.ts";
import { Metering } from "./metering.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import { fromText } from "../../../wasm/testing/bytes.ts";

const OPTIONS = { memory_limit_pages: 64, initial_fuel_units: 5_000_000n };
const POLICY = fromText(`(module (memory (export "memory") 1)
  (func (export "arqon_alloc") (param i32) (result i32) (i32.const 8))
  (func (export "arqon_on_message") (result i32) (i32.const 0)))`);

Deno.test("a thread meters like this one, also several modules at once", async () => {
  const metering = new Metering(OPTIONS);
  const here = meterPolicy(POLICY, OPTIONS);
  const there = await Promise.all([metering.meter(POLICY), metering.meter(POLICY)]);
  assert.deepEqual(there, [here, here]);
  metering.close();
});

Deno.test("a refusal has its reason and sentence", async () => {
  const metering = new Metering(OPTIONS);
  const refused = await metering.meter(new Uint8Array(3)).catch((error) => error);
  assert(refused instanceof PolicyModuleError);
  assert.equal(refused.reason, "module-malformed");
  assert.match(refused.message, /The module is refused: .*at byte/);
  assert.equal((await metering.meter(POLICY)).hooks[0], "on_message", "the thread continues");
  metering.close();
});

Deno.test("closing rejects running calls, and a later module starts another thread", async () => {
  const metering = new Metering(OPTIONS);
  const under_way = metering.meter(POLICY).catch((error) => error);
  metering.close();
  assert.equal((await under_way).reason, "metering-failed");
  assert.equal((await metering.meter(POLICY)).cost.functions, 2);
  metering.close();
});
