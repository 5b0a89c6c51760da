/** Renders the results of a load scenario as a table for a terminal. Pure. */
import { renderRows } from "../measure/table.ts";
import type { Column, LoadResults, LoadScenario, Omitted, Row } from "./scenarios/load_scenario.ts";

/** A figure as text, `-` where there is none. */
export function shown(value: number | undefined, digits: number): string {
  return value === undefined || !Number.isFinite(value) ? "-" : value.toFixed(digits);
}

/** The cases that were left out: a line for each reason. */
export function renderOmitted(omitted: readonly Omitted[]): string {
  const reasons = Map.groupBy(omitted, ({ kind, why }) => `${kind}: ${why.split("\n", 1)[0]}`);
  return [...reasons].map(([reason, all]) => {
    const targets = [...new Set(all.map(({ target }) => target))].join(", ");
    const cases = [...new Set(all.map((one) => one.case))];
    return `${targets}: ${reason} (${cases.join("; ")})`;
  }).join("\n");
}

function cells(row: Row, columns: readonly Column[], several: boolean, digits: number): string[] {
  return [
    row.case,
    row.title,
    ...columns.map(({ key, digits }) => shown(row.medians[key], digits)),
    shown(row.ratio, 2),
    ...(several ? [shown(row.least, digits), shown(row.most, digits)] : []),
    row.missing === 0 ? "" : `${row.missing} MISSING`,
  ];
}

/** The table of medians; least and most are those of the headline. */
export function renderTable(
  scenario: LoadScenario,
  { placed, rows, omitted }: LoadResults,
): string {
  const several = rows.some(({ rounds }) => rounds.length > 1);
  const headline = scenario.columns.find(({ key }) => key === scenario.headline);
  const head = [
    scenario.name,
    "target",
    ...scenario.columns.map(({ title }) => title),
    "of bare Deno",
    ...(several ? [`least ${headline?.title}`, "most"] : []),
    "",
  ];
  const digits = headline?.digits ?? 0;
  const table = renderRows(
    head,
    rows.map((row) => cells(row, scenario.columns, several, digits)),
  );
  const notes = [placed, renderOmitted(omitted)].filter((note) => note !== "").join("\n");
  return `${table}\n\n${notes}`;
}

/** Why the figures cannot be trusted; undefined when they can. */
export function failureOf({ rows, omitted }: LoadResults): string | undefined {
  const lost = rows.find(({ missing }) => missing !== 0);
  if (lost !== undefined) {
    const where = `${lost.case} on ${lost.target}`;
    const what = lost.missing > 0 ? `${lost.missing} lost` : `${-lost.missing} too many`;
    const why = lost.problems[0] === undefined ? "" : ` (${lost.problems[0]})`;
    return `messages of ${where}: ${what}${why}`;
  }
  const failed = omitted.find(({ kind }) => kind === "failed");
  if (failed === undefined) return undefined;
  return `${failed.case} on ${failed.target} gave no figures: ${failed.why}`;
}
