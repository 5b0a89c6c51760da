/** `deno task storage` in a short form: tenants at their bounds, another one undisturbed, on both engines. */
import assert from "node:assert/strict";
import { runStorage } from "./run.ts";

const MIB = 1_048_576;

for (const engine of ["nats", "embedded"] as const) {
  Deno.test(`${engine}: tenants that store all they can refuse nobody else anything`, async () => {
    const { phases, broken, streams } = await runStorage({
      engine,
      storage_bytes: 64 * MIB,
      log_bytes: 8 * MIB,
      tenants: 6,
      message_bytes: 50_000,
      beyond: 40,
      rounds: 5,
      say: () => {},
    });
    assert.deepEqual(broken, []);
    const [, first, ...others] = phases;
    if (engine === "embedded") {
      assert.ok(first !== undefined && first.stored_bytes > 30 * MIB, "one alone has most of it");
      assert.equal(streams.length, 0);
      return;
    }
    assert.ok(first !== undefined && first.stored_bytes > 7 * MIB, "it has what it was promised");
    assert.match(first.why, /maximum bytes exceeded/);
    // All that NATS can promise is promised: who comes now is told.
    const last = others.at(-2);
    assert.equal(last?.stored_bytes, 0);
    assert.match(last?.why ?? "", /no room to promise .*lower \[durable\] log_bytes/);
  });
}
