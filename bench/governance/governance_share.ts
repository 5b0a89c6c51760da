/**
 * Checks that the mirror picks the share that was asked for, and the same ids on each Shield:
 * `governance_share_child.ts` counts on a table of rules, `governance_shields_child.ts` on two Shields.
 */
import type { SharePlan, ShareResult } from "./governance_share_child.ts";
import type { ShieldsPlan, ShieldsReport } from "./governance_shields_child.ts";
import { runProgram } from "../measure/program.ts";
import { renderRows } from "../measure/table.ts";

/** The counts on the table of rules and on the Shields. */
export interface ShareReport {
  readonly ids: number;
  readonly shares: readonly ShareResult[];
  readonly shields: ShieldsReport;
}

const IDS = 1_000_000;
const SHIELD_IDS = 100_000;

/** The difference between the asked and the observed share, in percentage points. */
export function pointsOff({ asked, observed }: ShareResult): number {
  return Math.abs(observed - asked) * 100;
}

/** Counts the shares, then runs two Shields. */
export async function measureShare(): Promise<ShareReport> {
  console.error("shares ...");
  const plan: SharePlan = { ids: IDS };
  const shares: ShareResult[] = await runProgram(
    "bench/governance/governance_share_child.ts",
    ["--allow-read"],
    [JSON.stringify(plan)],
  );
  console.error("two Shields on one NATS ...");
  const shields_plan: ShieldsPlan = { ids: SHIELD_IDS, percent: 0.1 };
  const shields: ShieldsReport = await runProgram(
    "bench/governance/governance_shields_child.ts",
    ["--allow-net", "--allow-read", "--allow-write", "--allow-run", "--allow-env"],
    [JSON.stringify(shields_plan)],
  );
  return { ids: IDS, shares, shields };
}

/** The tables of the report: one for the shares, one for the Shields. */
export function renderShare({ ids, shares, shields }: ShareReport): string {
  const percent = (fraction: number) => `${(fraction * 100).toFixed(4)} %`;
  const observed = renderRows(
    [`share of ${ids} ids`, "asked", "observed", "off, points", "1 sigma", "not in the larger"],
    shares.map((one) => [
      one.ids,
      percent(one.asked),
      percent(one.observed),
      pointsOff(one).toFixed(4),
      (one.deviation * 100).toFixed(4),
      String(one.outside_larger),
    ]),
  );
  const { mirrored, differing, differing_from_table, lost } = shields;
  const equal = renderRows(
    ["two Shields", "ids", "mirrored", "decided otherwise", "than the table", "lost copies"],
    [[
      `${shields.percent * 100} % by trace id`,
      String(shields.ids),
      mirrored.join(" and "),
      String(differing),
      String(differing_from_table),
      String(lost),
    ]],
  );
  return `${observed}\n\n${equal}`;
}
