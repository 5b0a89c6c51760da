/**
 * A rollout as the admin API shows it: how far it is, what it waits for and what Shields have counted. Reads
 * what is stored, and changes nothing.
 */
import { talliesAt, waitsFor } from "../../shared/rollout/decision.ts";
import { decodeReport, FRESH_MS, isUnderWay, shareOf } from "../../shared/rollout/rollout.ts";
import type { Rollout, RolloutReport } from "../../shared/rollout/rollout.ts";
import { fuelAt } from "../../shared/rollout/tally.ts";
import type { PolicyTally } from "../../shared/rollout/tally.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { STATE_KINDS } from "./decision.ts";

/** Where a view is read from, and when: Unix ms. */
export interface ViewSource {
  readonly bucket: Pick<KeyValue, "get" | "keys">;
  readonly now_ms: number;
}

/** What Shields say of a tenant's rollout, by node; those of Shields that are gone included. */
export async function reportsOf(
  bucket: ViewSource["bucket"],
  tenant: string,
): Promise<Map<string, RolloutReport>> {
  const reports = new Map<string, RolloutReport>();
  for (const key of await bucket.keys([tenant])) {
    const [, node_id] = key;
    const entry = node_id === undefined ? undefined : await bucket.get(key);
    const decoded = entry === undefined ? undefined : decodeReport(entry.value);
    if (decoded !== undefined && "value" in decoded) reports.set(node_id!, decoded.value);
  }
  return reports;
}

/** A tally with its fuel as two quantiles. */
function tallyView({ fuel_old, fuel_new, ...counts }: PolicyTally) {
  const quantiles = (of: PolicyTally["fuel_old"]) => ({
    p50: fuelAt(of, 0.5).fuel,
    p99: fuelAt(of, 0.99).fuel,
  });
  return { ...counts, fuel: { old: quantiles(fuel_old), new: quantiles(fuel_new) } };
}

/** Whether the Shield has said something lately, by its clock and ours. */
const isFresh = ({ at_ms }: RolloutReport, now_ms: number): boolean =>
  Math.abs(now_ms - at_ms) <= FRESH_MS;

function waitsOf(rollout: Rollout, reports: Map<string, RolloutReport>, now_ms: number): string {
  const fresh = [...reports].filter(([, report]) => isFresh(report, now_ms));
  const seen = { reports, fresh: new Set(fresh.map(([node_id]) => node_id)), held_ms: undefined };
  return waitsFor(rollout, seen, now_ms) || "a Brain makes the next step";
}

/** A rollout for people and programs. Rejects with `spine-unavailable`. */
export async function rolloutView(
  { bucket, now_ms }: ViewSource,
  tenant: string,
  rollout: Rollout,
) {
  const { counted, ended, ...whole } = rollout;
  const about: Partial<typeof whole> = { ...whole };
  for (const kind of STATE_KINDS) delete about[kind];
  const reports = isUnderWay(rollout) ? await reportsOf(bucket, tenant) : new Map();
  const own = [...reports].filter(([, { id }]) => id === rollout.id);
  const is_live = rollout.state === "running" || rollout.state === "paused";
  const { tallies: of_end, ...end } = ended ?? {};
  const tallies = of_end ?? counted ?? talliesAt(rollout, rollout.stage, reports.values());
  return {
    tenant,
    rollout: { ...about, ended: ended === undefined ? null : end },
    share: shareOf(rollout),
    waits: is_live ? waitsOf(rollout, reports, now_ms) : "",
    tallies: tallies.map(tallyView),
    nodes: own.map(([node_id, report]) => ({
      node_id,
      stage: report.stage,
      problem: report.problem?.detail ?? null,
      silent: !isFresh(report, now_ms),
    })),
  };
}
