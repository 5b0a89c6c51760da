// The first view: traffic, errors and saturation of the whole cluster over the last minutes, and its
// nodes, all from the cluster feed.
import { Chart, SERIES_MAX } from "./chart.js";
import { SPAN_MS } from "./cluster_feed.js";
import { el, setText } from "./element.js";
import { bytes, compact, count, milliseconds, percent, plural, rate } from "./format.js";
import { NODE_COLUMNS, nodeRows, nodeTable } from "./node_columns.js";
import { errorNotice, fullCard, pageHead, silentNotice, slot } from "./page.js";
import { largestSeries, total } from "./rates.js";

const largest = (values) => {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
};

const MEMORY = { format: bytes, floor: 1_048_576, base: 1_024 };

function createCharts() {
  const make = (options) => new Chart({ span_ms: SPAN_MS, ...options });
  const whole = (value) => (value < 1 && value > 0 ? "" : compact(value));
  return {
    connections: make({ title: "Connections", format: count, axis: whole, floor: 10 }),
    messages: make({ title: "Messages per second", format: compact, floor: 10 }),
    rejects: make({ title: "Rejects per second, by reason", format: compact, floor: 1 }),
    lag: make({ title: "Event loop lag, by process", format: milliseconds, floor: 10 }),
    cpu: make({ title: "CPU, by process (share of one core)", format: percent, floor: 0.1 }),
    rss: make({ title: "Resident memory, by process", ...MEMORY }),
  };
}

function showTraffic(charts, points, cluster, common) {
  const point = points.at(-1);
  const shields = cluster.nodes.filter(({ kind }) => kind === "shield");
  const gauge = (name) => total(shields.map(({ gauges }) => gauges?.[name]));
  // Each live room belongs to one Brain, so that the sum counts it once.
  const live = total(
    cluster.nodes.map(({ kind, gauges }) => kind === "brain" ? gauges?.rooms : undefined),
  );
  const all = (name, pick) => ({ name, values: points.map(pick) });
  charts.connections.show({
    ...common,
    series: [all("open", (it) => it.connections)],
    figure: count(point.connections),
    about: `${plural(gauge("subscriptions") ?? 0, "subscription")}, ${plural(live ?? 0, "room")}`,
  });
  charts.messages.show({
    ...common,
    series: [all("out", (it) => it.egress), all("in", (it) => it.ingress)],
    figure: rate(total([point.ingress, point.egress])),
    about: "out and in together",
  });
  const reasons = largestSeries(points, (it) => it.rejects, (it) => it, SERIES_MAX - 1);
  charts.rejects.show({
    ...common,
    ...(reasons.series.length === 0
      ? { series: [all("none", (it) => it.rejects_total)] }
      : reasons),
    figure: rate(point.rejects_total),
    about: "refused operations and clients",
  });
}

function showProcesses(charts, points, common) {
  const byProcess = (name) => largestSeries(points, (it) => it.processes, (it) => it?.[name], 3);
  const { processes } = points.at(-1);
  const now = (name) => [...processes.values()].map((it) => it[name]);
  const show = (name, figure, about) =>
    charts[name].show({ ...common, ...byProcess(name), figure, about });
  show("lag", milliseconds(largest(now("lag"))), "largest");
  show("cpu", percent(largest(now("cpu"))), "largest");
  const sharing = processes.size === 1 ? "process" : "processes together";
  show("rss", bytes(total(now("rss"))), `${count(processes.size)} ${sharing}`);
}

function pauseButton(feed) {
  const button = el("button");
  const say = () => {
    const is_paused = feed.isPaused();
    button.setAttribute("aria-pressed", String(is_paused));
    setText(button, is_paused ? "Resume" : "Pause");
  };
  button.addEventListener("click", () => {
    feed.pause(!feed.isPaused());
    say();
  });
  say();
  return button;
}

/** Shows the overview until the returned function is called. */
export function showOverview({ feed }, place) {
  const charts = createCharts();
  const trouble = slot();
  const table = nodeTable(NODE_COLUMNS);
  place.append(
    pageHead({
      title: "Overview",
      about: "The whole cluster, read every 2 seconds while this page is visible.",
      actions: [pauseButton(feed)],
    }),
    el("div.stack", trouble, el("div.charts", Object.values(charts)), fullCard("Nodes", [], table)),
  );
  const stop = feed.listen(({ cluster, error }) => {
    trouble.show(error && errorNotice(error), cluster && silentNotice(cluster));
    const { points } = feed.history;
    if (cluster === undefined || error !== undefined || points.length === 0) return;
    const point = points.at(-1);
    if (point.is_gap) return;
    const common = { times: points.map(({ at_ms }) => at_ms), at_ms: point.at_ms };
    showTraffic(charts, points, cluster, common);
    showProcesses(charts, points, common);
    table.show(nodeRows(cluster, feed.history));
  });
  return () => {
    stop();
    for (const chart of Object.values(charts)) chart.close();
  };
}
