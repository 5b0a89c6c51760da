/** The figures of a durable run as lines for people. Judges nothing. */
import { percentile } from "../../bench/measure/statistics.ts";
import type { Figures, Verdict } from "./checker.ts";
import type { DurableFleet } from "./fleet.ts";
import type { Publisher } from "./publisher.ts";

/** What a report is made from. */
export interface ReportInput extends Verdict {
  /** How many. */
  readonly faults: number;
  readonly times: { readonly published_ms: number; readonly settled_ms: number };
  readonly publishers: readonly Pick<Publisher, "ack_times_ms" | "held_back" | "refusals">[];
  readonly fleet: Pick<DurableFleet, "counters">;
}

function counts(of: ReadonlyMap<string, number>): string {
  return [...of].sort().map(([name, count]) => `${name} ${count}`).join(", ") || "none";
}

function quantile(sorted: readonly number[], part: number): string {
  return `${percentile(sorted, part).toFixed(0)} ms`;
}

function publishLine(
  { publishes, acknowledged, unacknowledged }: Figures,
  held_back: number,
  published_ms: number,
): string {
  const rate = (acknowledged / published_ms * 1_000).toFixed(0);
  return `messages   ${publishes}: ${acknowledged} acknowledged (${rate}/s), ` +
    `${unacknowledged} not, ${held_back} held back`;
}

/** One line for each thing to know. */
export function reportOf({ figures, faults, times, publishers, fleet }: ReportInput): string[] {
  const ack_ms = publishers.flatMap(({ ack_times_ms }) => ack_times_ms).sort((a, b) => a - b);
  const held_back = publishers.reduce((sum, publisher) => sum + publisher.held_back, 0);
  const refusals = new Map<string, number>();
  for (const [reason, count] of publishers.flatMap((publisher) => [...publisher.refusals])) {
    refusals.set(reason, (refusals.get(reason) ?? 0) + count);
  }
  const counter = (name: string) => counts(fleet.counters.of(name));
  return [
    `faults     ${faults}`,
    publishLine(figures, held_back, times.published_ms),
    `attempts   that were not acknowledged: ${counts(refusals)}`,
    `ACK        p50 ${quantile(ack_ms, 0.5)}, p99 ${quantile(ack_ms, 0.99)}, worst ${
      quantile(ack_ms, 1)
    }`,
    `deliveries ${figures.deliveries}, ${figures.recoveries} recoveries, losses told: ${
      counts(figures.gaps)
    }`,
    `lives      new ones of a room's log: ${figures.new_lives}`,
    `Shields    recoveries: ${counter("shield_log_recoveries_total")}`,
    `           gap fills: ${counter("shield_log_gap_fills_total")}`,
    `           reads: ${counter("shield_log_reads_total")}; dropped: ${
      counter("shield_log_dropped_total")
    }`,
    `           refused: ${counter("shield_log_refused_total")}; ` +
    `deduplicated: ${counter("shield_log_deduplicated_total")}`,
    `settled    ${(times.settled_ms / 1_000).toFixed(1)} s after the last message`,
  ];
}
