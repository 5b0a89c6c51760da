/** A soak run fails if memory or latency grows, if a message is lost, and for no other reason. */
import assert from "node:assert/strict";
import { type Row, violationsOf } from "./verdict.ts";

const MB = 1_000_000;

function run(options: {
  readonly shield?: (at: number) => number;
  readonly latency_ms?: (at: number) => number;
  readonly row?: Partial<Row>;
  readonly counts_only?: boolean;
  readonly minutes?: number;
}): string[] {
  const { shield = () => 300 * MB, latency_ms = () => 5, counts_only = false } = options;
  const rows = Array.from({ length: options.minutes ?? 30 }, (_, at): Row => {
    const p50_ms = 1;
    const ms = latency_ms(at);
    return {
      at_ms: at * 60_000,
      latency: { count: 25, p50_ms, p90_ms: ms, p99_ms: ms, p999_ms: ms, max_ms: ms },
      memory: { shield: shield(at), brain: 100 * MB, nats: 50 * MB },
      sent: 100,
      received: 100,
      missing: 0,
      problem_count: 0,
      problems: [],
      ...options.row,
    };
  });
  return violationsOf({ rows, connections: 10_000, counts_only, bugs: [], visits: 0 });
}

Deno.test("a flat run passes, also with a warm-up and with noise", () => {
  assert.deepEqual(run({}), []);
  assert.deepEqual(run({ shield: (at) => (at < 5 ? 100 : 300 + (at % 3) * 10) * MB }), []);
  assert.deepEqual(run({ latency_ms: (at) => at < 3 ? 25 : 4 + at % 4 }), []);
});

Deno.test("memory and latency that grow, or are too much, fail the run", () => {
  assert.match(run({ shield: (at) => (300 + at * 3) * MB }).join(), /memory of the shield/);
  assert.match(run({ shield: () => 1_100 * MB }).join(), /took 1100 MB/);
  assert.match(run({ latency_ms: (at) => 2 + at }).join(), /p99 is not flat/);
  assert.match(run({ latency_ms: () => 40 }).join(), /promised: 30 ms/);
  assert.deepEqual(run({ latency_ms: () => 40, counts_only: true }), []);
});

Deno.test("the initial rise of a heap is no growth, and growth after it fails a short run, too", () => {
  // From the soak of 2026-11-21, ten minutes.
  const climb = [590, 593, 681, 822, 812, 772, 758, 763, 770, 777, 783];
  const shield = (at: number) => (climb[at] ?? 0) * MB;
  assert.deepEqual(run({ minutes: climb.length, shield }), []);
  const leak = (at: number) => (600 + 20 * at) * MB;
  assert.match(run({ minutes: climb.length, shield: leak }).join(), /memory of the shield/);
  assert.match(run({ minutes: 5, shield: leak }).join(), /memory of the shield/);
});

Deno.test("one lost, additional or refused message, or silence, fails the run at any time", () => {
  const says = (row: Partial<Row>) => run({ counts_only: true, row }).join();
  assert.match(says({ missing: 1 }), /1 deliveries are lost/);
  assert.match(says({ missing: -1 }), /1 deliveries too many/);
  assert.match(says({ problem_count: 1, problems: ["rate-limited"] }), /rate-limited/);
  assert.match(says({ received: 0 }), /nothing was received/);
});
