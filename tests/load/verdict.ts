/** What a load run came to: a table for people, and which promises do not hold. Pure. */
import { renderRows } from "../../bench/measure/table.ts";
import type { LoadOutcome } from "./run.ts";

/** docs/architecture.md#promises: 10,000 idle connections of a Shield in less than this. */
const IDLE_CONNECTIONS = 10_000;
const IDLE_BYTES = 1_000_000_000;

/** Bytes that a connection adds to the Shields together; at the end of idling. */
export function bytesPerConnection({ memory, connected }: LoadOutcome): number {
  return (memory.idle - memory.before) / connected;
}

/** Which promises do not hold; empty: all do. */
export function violationsOf(outcome: LoadOutcome): string[] {
  const { plan, connected, states, broadcasts, dropping_ms, bugs, memory } = outcome;
  const problems: string[] = [];
  const { connections, processes } = plan;
  if (connected !== connections) problems.push(`${connected} of ${connections} are connected`);
  for (const [code, count] of states.flatMap(({ ended }) => ended)) {
    problems.push(`${count} connections ended by themselves with ${code}`);
  }
  const strange = states.reduce((sum, state) => sum + state.strange, 0);
  if (strange > 0) problems.push(`${strange} deliveries of a broadcast were wrong or repeated`);
  for (const [index, { heard }] of broadcasts.entries()) {
    if (heard !== connections) {
      problems.push(`broadcast ${index + 1} was heard by ${heard} of ${connections}`);
    }
  }
  const each_bytes = memory.before / processes;
  const idle_bytes = each_bytes + IDLE_CONNECTIONS * bytesPerConnection(outcome);
  if (idle_bytes >= IDLE_BYTES) {
    const megabytes = (idle_bytes / 1e6).toFixed(0);
    problems.push(`a Shield with ${IDLE_CONNECTIONS} idle connections would take ${megabytes} MB`);
  }
  if (dropping_ms === undefined) {
    problems.push("some Shield still counts connections that are gone");
  }
  return [...problems, ...bugs];
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

/** Everything that was measured. */
export function renderLoad(outcome: LoadOutcome): string {
  const { plan, memory, handshakes, connecting_ms, connected, broadcasts, states } = outcome;
  const seconds = connecting_ms / 1_000;
  const pings = states.reduce((sum, state) => sum + state.pings, 0);
  const rows = [
    [
      "connections",
      `${connected} over ${plan.processes} processes ${plan.one_port ? "on one port" : "apart"}`,
    ],
    ["connecting", `${seconds.toFixed(1)} s, ${(connected / seconds).toFixed(0)} a second`],
    [
      "handshake with SUB",
      `p50 ${handshakes.quantile(0.5).toFixed(1)} ms, ` +
      `p99 ${handshakes.quantile(0.99).toFixed(1)} ms; ${outcome.put_off} put off`,
    ],
    ["memory before", megabytes(memory.before)],
    ["memory connected", megabytes(memory.connected)],
    [`memory after ${plan.idle_seconds} s idle`, megabytes(memory.idle)],
    ["memory a connection", `${(bytesPerConnection(outcome) / 1e3).toFixed(1)} KB`],
    ["PINGs answered", String(pings)],
    ...broadcasts.map(({ heard, latencies }, index) => [
      `broadcast ${index + 1}`,
      `${heard} heard it, p50 ${latencies.quantile(0.5).toFixed(0)} ms, ` +
      `last ${latencies.quantile(1).toFixed(0)} ms`,
    ]),
    [
      "drop of all",
      outcome.dropping_ms === undefined
        ? "NOT noticed"
        : `noticed in ${(outcome.dropping_ms / 1_000).toFixed(1)} s`,
    ],
    ["memory after it", megabytes(memory.dropped)],
  ];
  return renderRows(["what", "figure"], rows);
}
