/** Renders the results of a load scenario as a table for a terminal. Pure. */
import { renderTable as renderColumns } from "../measure/table.ts";
import type { LoadResults, LoadScenario, Omitted, Row } from "./load_scenario.ts";

/** A figure as text, `-` if it is missing. */
export function shown(value: number | undefined, digits: number): string {
  return value === undefined || !Number.isFinite(value) ? "-" : value.toFixed(digits);
}

/** The skipped cases: one line for each reason. */
export function renderOmitted(omitted: readonly Omitted[]): string {
  const reasons = Map.groupBy(omitted, ({ kind, why }) => `${kind}: ${why.split("\n", 1)[0]}`);
  return [...reasons].map(([reason, all]) => {
    const targets = [...new Set(all.map(({ target }) => target))].join(", ");
    const cases = [...new Set(all.map((one) => one.case))];
    return `${targets}: ${reason} (${cases.join("; ")})`;
  }).join("\n");
}

/** The table of medians; the minimum and maximum are those of the headline. */
export function renderTable(
  { name, columns, headline }: Pick<LoadScenario, "name" | "columns" | "headline">,
  { placed, rows, omitted }: LoadResults,
): string {
  const several = rows.some(({ rounds }) => rounds.length > 1);
  const [, title, digits = 0] = columns.find(([key]) => key === headline) ?? [];
  const table = renderColumns<Row>(rows, [
    [name, (row) => row.case],
    ["target", (row) => row.title],
    ...columns.map(([key, title, digits]) =>
      [title, ({ medians }: Row) => shown(medians[key], digits)] as const
    ),
    ["of Bun", ({ ratio }) => shown(ratio, 2)],
    ...(several
      ? [
        [`least ${title}`, ({ least }: Row) => shown(least, digits)] as const,
        ["most", ({ most }: Row) => shown(most, digits)] as const,
      ]
      : []),
    ["", ({ missing }) => missing === 0 ? "" : `${missing} MISSING`],
  ]);
  const notes = [placed, renderOmitted(omitted)].filter((note) => note !== "").join("\n");
  return `${table}\n\n${notes}`;
}

/** Why the figures are not reliable; undefined if they are. */
export function failureOf({ rows, omitted }: LoadResults): string | undefined {
  const lost = rows.find(({ missing }) => missing !== 0);
  if (lost !== undefined) {
    const what = lost.missing > 0 ? `${lost.missing} lost` : `${-lost.missing} too many`;
    const why = lost.problems[0] === undefined ? "" : ` (${lost.problems[0]})`;
    return `messages of ${lost.case} on ${lost.target}: ${what}${why}`;
  }
  const failed = omitted.find(({ kind }) => kind === "failed");
  if (failed === undefined) return undefined;
  return `${failed.case} on ${failed.target} gave no figures: ${failed.why}`;
}
