/**
 * The soak run in small: real processes, a few hundred connections, some seconds. Only what was counted
 * is judged, as a shared machine says nothing about time. `deno task soak` is the long one.
 */
import assert from "node:assert/strict";
import { runSoak } from "./run.ts";
import { violationsOf } from "./verdict.ts";

Deno.test("a steady load with policies, presence, a schema and durable rooms loses, repeats and swaps nothing", async () => {
  const lines: string[] = [];
  const outcome = await runSoak({
    seconds: 6,
    connections: 300,
    rate: 200,
    processes: 2,
    room_size: 4,
    visits: 4,
    report_ms: 1_000,
    counts_only: true,
    nice: 0,
    say: (line) => void lines.push(line),
  });
  const { rows, memory, done } = outcome;
  assert.deepEqual(violationsOf(outcome), [], lines.join("\n"));
  const [sent, received, presence, visits] = (["sent", "received", "presence", "visits"] as const)
    .map((of) => done.reduce((sum, one) => sum + one[of], 0)) as [number, number, number, number];
  assert.ok(sent > 0 && received >= sent * 3, `${sent} sent, ${received} received`);
  assert.ok(presence > 0 && visits > 0, `${presence} presence events, ${visits} visits`);
  assert.equal(rows.reduce((sum, row) => sum + row.sent, 0), sent);
  assert.ok(memory.every(({ shield, brain, nats }) => shield > 0 && brain > 0 && nats > 0));
});
