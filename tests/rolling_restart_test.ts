/**
 * Two Shields restarted one after another under load, real processes on a real NATS behind a load
 * balancer: nothing is lost, repeated or reordered, in durable rooms and in others. The long figure is
 * `tests/rolling/main.ts`.
 */
import assert from "node:assert/strict";
import { runRolling } from "./rolling/run.ts";

const SMALL = {
  rooms: 4,
  durable: 2,
  publishers: 2,
  subscribers: 2,
  rate: 300,
  rounds: 1,
  calm_ms: 1_000,
  drain_ms: 3_000,
  patience_ms: 60_000,
  say: () => {},
} as const;

Deno.test("a rolling restart under load loses, repeats and reorders nothing, without a GAP", async () => {
  const outcome = await runRolling({ ...SMALL, signal: "SIGTERM" });
  assert.deepEqual(outcome.errors.slice(0, 5), []);
  assert.deepEqual(outcome.findings.slice(0, 5), [], `${outcome.findings.length} findings`);
  // Half of 16 clients are on each Shield, and have to leave it.
  assert.ok(outcome.moves >= 16, `${outcome.moves} moves`);
  assert.ok(outcome.published > 500, `${outcome.published} published`);
});

Deno.test("the check is no formality: Shields that are killed instead are found", async () => {
  const { findings } = await runRolling({ ...SMALL, signal: "SIGKILL", patience_ms: 1_000 });
  const kinds = new Set(findings.map(({ kind }) => kind));
  assert.ok(kinds.has("gap"), `found: ${[...kinds].join()}`);
});
