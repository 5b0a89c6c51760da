/**
 * Compares the aims of mirroring and schemas with a run's figures. A missed aim is a finding and does not
 * fail the run.
 */
import type { MatchResults } from "./governance_match.ts";
import { pointsOff, type ShareReport } from "./governance_share.ts";
import { EDITION_NAMES, type ValidateResult } from "./governance_validate.ts";
import { renderRows } from "../measure/table.ts";

/** The figures of a run; parts that did not run are absent. */
export interface GovernanceMeasured {
  readonly validate?: readonly ValidateResult[];
  readonly match?: MatchResults;
  readonly share?: ShareReport;
}

/** One aim, with its figure. */
export interface GovernanceAim {
  readonly name: string;
  readonly measured: number;
  readonly below: number;
  readonly unit: string;
}

const SMALL_BYTES = 200;
const MANY_RULES = 10_000;
/**
 * The growth of a logarithm from one rule to so many; a search through all rules would take 10,000 times as
 * long.
 */
const LOGARITHM = 1 + Math.log2(MANY_RULES);

function worst(values: readonly number[]): number {
  return Math.max(...values);
}

/** The aims for which the run has figures. */
export function aimsOf({ validate, match, share }: GovernanceMeasured): GovernanceAim[] {
  const aims: GovernanceAim[] = (validate ?? []).filter((one) => one.size_bytes === SMALL_BYTES)
    .map(({ edition, p50_us }) => ({
      name: `schema step at 200 B, ${EDITION_NAMES[edition]}, p50`,
      measured: p50_us,
      below: 40,
      unit: "µs",
    }));
  if (match !== undefined) {
    const many = match.rules.filter(({ rules }) => rules === MANY_RULES);
    const unit = "x";
    const aim = { below: LOGARITHM, unit };
    const [all, few] = [many.map(({ ratio }) => ratio), many.map((one) => one.few_ratio)];
    aims.push({ name: "10,000 rules over one, 4,096 subjects", measured: worst(all), ...aim });
    aims.push({ name: "10,000 rules over one, 16 subjects", measured: worst(few), ...aim });
  }
  if (share !== undefined) {
    const measured = worst(share.shares.map(pointsOff));
    aims.push({ name: "share off what was asked", measured, below: 0.1, unit: "points" });
    const { differing, differing_from_table } = share.shields;
    const different = differing + differing_from_table;
    const name = "decisions that differ between Shields";
    aims.push({ name, measured: different, below: 1, unit: "ids" });
  }
  return aims;
}

/** The table of the aims, one row for each. */
export function renderGovernanceAims(aims: readonly GovernanceAim[]): string {
  const shown = (value: number, unit: string) =>
    `${unit === "ids" ? value : value.toFixed(unit === "points" ? 3 : 1)} ${unit}`;
  return renderRows(
    ["aim", "below", "measured", ""],
    aims.map(({ name, below, measured, unit }) => [
      name,
      shown(below, unit),
      shown(measured, unit),
      measured < below ? "met" : "missed",
    ]),
  );
}
