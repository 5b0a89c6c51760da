/**
 * The load run in small: two processes of a Shield, some hundred connections from several local addresses, counts
 * only. `deno task load` is the long one.
 */
import assert from "node:assert/strict";
import { runLoad } from "./run.ts";
import { violationsOf } from "./verdict.ts";

Deno.test("connections from many addresses come, idle, hear each broadcast once and are dropped", async () => {
  const lines: string[] = [];
  const outcome = await runLoad({
    connections: 400,
    processes: 2,
    one_port: true,
    idle_seconds: 1,
    broadcasts: 2,
    addresses: 8,
    say: (line) => void lines.push(line),
  });
  // So few say nothing of what each takes, beside what a process takes by itself.
  const violations = violationsOf(outcome).filter((text) => !text.includes("would take"));
  assert.deepEqual(violations, [], lines.join("\n"));
  assert.equal(outcome.handshakes.count, 400);
  assert.deepEqual(outcome.broadcasts.map(({ heard }) => heard), [400, 400]);
  assert.deepEqual(outcome.states.map(({ open }) => open), [200, 200]);
});
