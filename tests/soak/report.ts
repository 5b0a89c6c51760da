/** A soak run as tables for people. Judges nothing. */
import { renderRows } from "../../bench/measure/table.ts";
import { KINDS } from "./plan.ts";
import type { SoakOutcome } from "./run.ts";
import { latenciesOf, memoryLine, p99Ends, PROCESSES, warmLatencies } from "./verdict.ts";

const HOUR_MS = 3_600_000;
const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);

function byTime({ rows, memory }: SoakOutcome): string {
  const head = [
    "minute",
    "sent",
    "received",
    "p50 ms",
    "p99 ms",
    "shield MB",
    "brain MB",
    "nats MB",
  ];
  return renderRows(
    head,
    rows.map((row) => {
      const { at_ms, sent, received } = row;
      const all = latenciesOf([row]);
      const last = memory.findLast((reading) => reading.at_ms <= at_ms) ?? memory[0];
      return [
        (at_ms / 60_000).toFixed(1),
        String(sent),
        String(received),
        all.quantile(0.5).toFixed(2),
        all.quantile(0.99).toFixed(2),
        ...PROCESSES.map((name) => megabytes(last?.[name] ?? NaN)),
      ];
    }),
  );
}

function byProcess({ memory, connections }: SoakOutcome): string {
  const head = ["memory", "first MB", "last MB", "slope MB/h", "KB a connection"];
  return renderRows(
    head,
    PROCESSES.map((name) => {
      const line = memoryLine(memory, name);
      const [first, last] = [memory[0]?.[name] ?? NaN, memory.at(-1)?.[name] ?? NaN];
      const each = name === "shield" ? (last / connections / 1e3).toFixed(1) : "";
      return [name, megabytes(first), megabytes(last), megabytes(line.slope * HOUR_MS), each];
    }),
  );
}

function byRoom({ rows }: SoakOutcome): string {
  return renderRows(
    ["rooms", "received", "p50 ms", "p99 ms", "p99.9 ms"],
    KINDS.map((kind) => {
      const latencies = warmLatencies(rows, [kind]);
      const quantiles = [0.5, 0.99, 0.999].map((share) => latencies.quantile(share).toFixed(2));
      return [kind, String(latencies.count), ...quantiles];
    }),
  );
}

/** Everything that was measured. */
export function renderSoak(outcome: SoakOutcome): string {
  const { rows, done } = outcome;
  const all = warmLatencies(rows);
  const [first, last] = p99Ends(rows).map((p99) => p99.toFixed(1));
  const total = (of: "sent" | "received" | "presence" | "visits") =>
    done.reduce((sum, one) => sum + one[of], 0);
  const quantiles = [0.5, 0.99, 0.999].map((share) =>
    `p${share * 100} ${all.quantile(share).toFixed(2)} ms`
  );
  return [
    byTime(outcome),
    "",
    byProcess(outcome),
    "",
    byRoom(outcome),
    "",
    `messages    ${total("sent")} sent, ${total("received")} received, ` +
    `${total("presence")} presence events, ${total("visits")} visitors`,
    `latency     ${quantiles.join(", ")}; p99 at first ${first} ms, at last ${last} ms`,
    `connecting  ${outcome.connections} in ${(outcome.connecting_ms / 1_000).toFixed(1)} s`,
  ].join("\n");
}
