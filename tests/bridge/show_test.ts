/**
 * A short run of `deno task chaos --focus bridge`: each room has the committed messages, once and in order, whatever is
 * killed.
 */
import assert from "node:assert/strict";
import { runBridges } from "./run.ts";

Deno.test("every commit is published once and in order while anything is killed at any moment", async () => {
  const lines: string[] = [];
  const plan = { transactions: 4_000, writers: 3, batch: 200, seed: 7 };
  const verdict = await runBridges({ ...plan, calm_ms: [300, 2_000] }, (line) => lines.push(line));
  assert.deepEqual(verdict?.problems ?? [], [], lines.join("\n"));
});
