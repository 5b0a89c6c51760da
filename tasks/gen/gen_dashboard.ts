/**
 * Renders `dashboards.yaml` as dashboards of Grafana 10 or newer. Pure text; `gen.ts` writes the files. Changes made in
 * Grafana are not read back.
 */
import { parse } from "yaml";
import { jsonText } from "./gen_pages.ts";

interface PanelSpec {
  readonly title: string;
  readonly description: string;
  readonly unit: string;
  /** PromQL, and the legend of its lines, with `{{label}}`. */
  readonly queries: readonly (readonly [expr: string, legend: string])[];
  /** Kind of the panel; absent: lines over time. */
  readonly kind?: "stat" | "table";
  readonly limit?: number;
}

/** The content of a dashboard: its rows, and their panels. */
type Rows = Readonly<Record<string, readonly Readonly<Record<string, string>>[]>>;

const SOURCE = "tasks/gen/dashboards.yaml";
const DASHBOARDS: Readonly<Record<string, Rows>> = parse(
  await Deno.readTextFile(new URL("./dashboards.yaml", import.meta.url)),
);

const rate = (metric: string, by = ""): string =>
  `sum${by === "" ? "" : ` by (${by})`} (rate(${metric}{@}[$__rate_interval]))`;

/** The query of a short form; other texts are already queries. */
function expanded(query: string): string {
  const [, metric, by] = /^rate (\w+)(?: by (.+))?$/.exec(query) ?? [];
  if (metric !== undefined) return rate(metric, by);
  const [, kind, q, histogram = "", labels = ""] =
    /^(quantile|recorded) ([\d.]+) of (\w+)(?: by (.+))?$/.exec(query) ?? [];
  if (kind === undefined) return query;
  const rates = kind === "quantile"
    ? rate(histogram, labels)
    : `sum by (le) (instance_le:${histogram}_bucket:rate5m{@})`;
  return `histogram_quantile(${q}, ${rates})`;
}

function panelOf(entries: Readonly<Record<string, string>>): PanelSpec {
  const [[head = "", description = ""] = [], ...queries] = Object.entries(entries);
  const [, title = "", unit = "", kind, limit] =
    /^(.+) \((\w+)(?:, (stat|table))?(?:, limit ([\d.]+))?\)$/.exec(head) ?? [];
  if (title === "") throw new TypeError(`${SOURCE}: "${head}" is not "Title (unit)"`);
  return {
    title,
    unit,
    description,
    queries: queries.map(([legend, query]) => [expanded(query), legend]),
    ...(kind === undefined ? {} : { kind: kind as "stat" | "table" }),
    ...(limit === undefined ? {} : { limit: Number(limit) }),
  };
}

/** The schema of Grafana 10.2, which newer versions migrate automatically. */
const SCHEMA_VERSION = 39;
const GRID_WIDTH = 24;
const SIZES = { stat: { w: 6, h: 4 }, table: { w: 8, h: 8 }, timeseries: { w: 8, h: 8 } } as const;
const DATASOURCE = { type: "prometheus", uid: "${datasource}" };
const CHOSEN = 'job=~"$job", instance=~"$instance"';

interface GridPosition {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

/** Only what differs from Grafana's defaults: of lines these are thin, without thresholds, above their legend. */
function fieldConfig({ unit, limit, kind }: PanelSpec): object {
  const steps: { color: string; value: number | null }[] = [{ color: "green", value: null }];
  if (limit !== undefined) steps.push({ color: "red", value: limit });
  const thresholds = { mode: "absolute", steps };
  const thresholdsStyle = { mode: "dashed" };
  const lines = { fillOpacity: 8, showPoints: "never" };
  const custom = limit === undefined ? lines : { ...lines, thresholdsStyle };
  const has_thresholds = kind === "stat" || limit !== undefined;
  return {
    defaults: {
      unit,
      min: 0,
      ...(has_thresholds ? { thresholds } : {}),
      ...(kind === undefined ? { custom } : {}),
    },
  };
}

const OPTIONS = {
  stat: { reduceOptions: { calcs: ["lastNotNull"] }, colorMode: "none", graphMode: "area" },
  table: { showHeader: true },
  timeseries: { tooltip: { mode: "multi", sort: "desc" } },
} as const;

function renderPanel(spec: PanelSpec, id: number, gridPos: GridPosition): object {
  const type = spec.kind ?? "timeseries";
  return {
    id,
    type,
    title: spec.title,
    description: spec.description,
    datasource: DATASOURCE,
    gridPos,
    fieldConfig: fieldConfig(spec),
    options: OPTIONS[type],
    targets: spec.queries.map(([expr, legendFormat], index) => ({
      refId: String.fromCharCode("A".charCodeAt(0) + index),
      expr: expr.replaceAll("@", CHOSEN),
      legendFormat,
      ...(type === "table" ? { instant: true, format: "table" } : {}),
    })),
  };
}

function renderRows(rows: Rows): object[] {
  const panels: object[] = [];
  let y = 0;
  for (const [title, specs] of Object.entries(rows)) {
    const gridPos = { x: 0, y, w: GRID_WIDTH, h: 1 };
    panels.push({
      id: panels.length + 1,
      type: "row",
      title,
      collapsed: false,
      gridPos,
      panels: [],
    });
    y += 1;
    let x = 0;
    let line_height = 0;
    for (const spec of specs.map(panelOf)) {
      const { w, h } = SIZES[spec.kind ?? "timeseries"];
      if (x + w > GRID_WIDTH || (x > 0 && h !== line_height)) {
        y += line_height;
        x = 0;
      }
      panels.push(renderPanel(spec, panels.length + 1, { x, y, w, h }));
      x += w;
      line_height = h;
    }
    y += line_height;
  }
  return panels;
}

function labelVariable(name: string, label: string, query: string): object {
  return {
    name,
    label,
    type: "query",
    datasource: DATASOURCE,
    query: { query, refId: name },
    definition: query,
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: ".*",
    current: { text: "All", value: "$__all" },
  };
}

/** One dashboard, and a query whose series provide the jobs and instances. */
interface DashboardSpec {
  readonly uid: string;
  readonly title: string;
  /** A metric, with a matcher or "". */
  readonly series: readonly [metric: string, matcher: string];
}

const OVERVIEW: DashboardSpec = {
  uid: "arqonbus-overview",
  title: "ArqonBus Overview",
  series: ["arqon_build_info", ""],
};
const STORES: DashboardSpec = {
  uid: "arqonbus-stores",
  title: "ArqonBus Stores",
  series: ["up", 'job=~"arqon-(nats|valkey)"'],
};

function render({ uid, title, series: [metric, matcher] }: DashboardSpec): string {
  const of = (...matchers: string[]) => {
    const all = matchers.filter((one) => one !== "").join(", ");
    return all === "" ? metric : `${metric}{${all}}`;
  };
  const dashboard = {
    uid,
    title,
    description: `Generated from ${SOURCE} by \`deno task gen\`. Do not edit.`,
    tags: ["arqonbus"],
    schemaVersion: SCHEMA_VERSION,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: "10s",
    time: { from: "now-1h", to: "now" },
    timezone: "browser",
    templating: {
      list: [
        { name: "datasource", label: "Data source", type: "datasource", query: "prometheus" },
        labelVariable("job", "Job", `label_values(${of(matcher)}, job)`),
        labelVariable(
          "instance",
          "Instance",
          `label_values(${of(matcher, 'job=~"$job"')}, instance)`,
        ),
      ],
    },
    annotations: { list: [] },
    links: [],
    panels: renderRows(DASHBOARDS[title]!),
  };
  return `${jsonText(dashboard, 3_000)}\n`;
}

/** The text of the dashboard of Shields and Brains. */
export function renderDashboard(): string {
  return render(OVERVIEW);
}

/** The text of the dashboard of NATS and Valkey. */
export function renderStoresDashboard(): string {
  return render(STORES);
}
