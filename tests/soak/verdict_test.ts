/** A soak run fails for memory or latency that grows, for any lost message, and for nothing else. */
import assert from "node:assert/strict";
import { Latencies } from "../../bench/measure/histogram.ts";
import { byKind } from "./plan.ts";
import type { Done } from "./plan.ts";
import { noFaults } from "./room_check.ts";
import { violationsOf } from "./verdict.ts";
import type { Measured } from "./verdict.ts";

const MB = 1_000_000;

function row(at: number, latency_ms: number): Measured["rows"][number] {
  const latencies = byKind(() => {
    const one = new Latencies();
    for (let count = 0; count < 25; count++) one.add(latency_ms);
    return [one.encode()];
  });
  return { at_ms: at * 60_000, sent: 100, received: 100, latencies };
}

function run(options: {
  readonly shield?: (at: number) => number;
  readonly latency_ms?: (at: number) => number;
  readonly done?: Partial<Done>;
  readonly counts_only?: boolean;
  readonly minutes?: number;
}): string[] {
  const { shield = () => 300 * MB, latency_ms = () => 5, done = {}, counts_only = false } = options;
  const minutes = Array.from({ length: options.minutes ?? 30 }, (_, at) => at);
  const base: Done = {
    kind: "done",
    sent: 1,
    received: 1,
    presence: 0,
    visits: 0,
    refusals: [],
    faults: noFaults(),
    findings: [],
  };
  return violationsOf({
    rows: minutes.map((at) => row(at, latency_ms(at))),
    memory: minutes.map((at) => (
      { at_ms: at * 60_000, shield: shield(at), brain: 100 * MB, nats: 50 * MB }
    )),
    done: [{ ...base, ...done }],
    connections: 10_000,
    counts_only,
    bugs: [],
  });
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

Deno.test("the first climb of a heap is no growth, and what grows after it fails a short run, too", () => {
  // Of the soak of 2026-11-21, ten minutes.
  const climb = [590, 593, 681, 822, 812, 772, 758, 763, 770, 777, 783];
  const shield = (at: number) => (climb[at] ?? 0) * MB;
  assert.deepEqual(run({ minutes: climb.length, shield }), []);
  const leak = (at: number) => (600 + 20 * at) * MB;
  assert.match(run({ minutes: climb.length, shield: leak }).join(), /memory of the shield/);
  assert.match(run({ minutes: 5, shield: leak }).join(), /memory of the shield/);
});

Deno.test("one lost message, one refusal, or silence fails the run whatever the time is", () => {
  const counts_only = true;
  assert.match(
    run({ counts_only, done: { faults: { ...noFaults(), lost: 1 } } }).join(),
    /lost: 1/,
  );
  assert.match(
    run({ counts_only, done: { refusals: [["rate-limited", 1]] } }).join(),
    /rate-limited/,
  );
  assert.match(run({ counts_only, done: { received: 0 } }).join(), /nothing was received/);
});
