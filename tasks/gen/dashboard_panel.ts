/**
 * What rows of dashboards are made of. In a query `@` stands for the chosen job and instance; rates take
 * `$__rate_interval`, so that they fit any scrape interval. Which rows there are is said by their own files.
 */

/** One query of a panel: PromQL, and the name of its lines, with `{{label}}`. */
export type Query = readonly [expr: string, legend: string];

/** One panel of a dashboard. */
export interface PanelSpec {
  readonly title: string;
  /** What an operator should read from it. */
  readonly description: string;
  /** A unit id of Grafana, for example `s`, `ops`, `bytes`. */
  readonly unit: string;
  readonly queries: readonly Query[];
  /** Kind of the panel; absent: lines over time. */
  readonly kind?: "stat" | "table";
  /** Draws a line at the limit of the aim. */
  readonly limit?: number;
}

/** A row of panels under one heading. */
export interface RowSpec {
  readonly title: string;
  readonly panels: readonly PanelSpec[];
}

/** The rate of a counter, summed by these labels; all together without any. */
export const rate = (metric: string, by = "", matchers = ""): string =>
  `sum${by === "" ? "" : ` by (${by})`} (rate(${metric}{@${matchers}}[$__rate_interval]))`;

/** A panel; lines over time unless `more` says otherwise. */
export const panel = (
  title: string,
  unit: string,
  description: string,
  queries: readonly Query[],
  more: Partial<PanelSpec> = {},
): PanelSpec => ({ title, unit, description, queries, ...more });
