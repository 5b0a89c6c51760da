// Turns readings of `GET /v1/cluster` into chart series: sums over the cluster, and rates between two
// readings of a node by the node's own clock. Pure; its history is bounded.

/** Readings further apart than this have a gap between them. */
const CLOSED_MS = 12_000;

const isReading = (value) => typeof value === "number" && Number.isFinite(value);

/** Growth a second of each figure of a node since its previous reading; undefined without one. */
function growth(before, node) {
  if (before === undefined || before.started_ms !== node.started_ms) return undefined;
  const seconds = (node.uptime_ms - before.uptime_ms) / 1_000;
  if (!(seconds > 0)) return undefined;
  return (pick) => {
    const [then, now] = [pick(before), pick(node)];
    return isReading(then) && isReading(now) ? Math.max(0, now - then) / seconds : undefined;
  };
}

/** The sum of the defined values; undefined if there is none. */
export function total(values) {
  const known = values.filter(isReading);
  return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0);
}

function rejectRates(shields) {
  const rates = new Map();
  for (const { node, grown } of shields) {
    if (grown === undefined) continue;
    for (const reason of Object.keys(node.totals?.rejects ?? {})) {
      // A reason that is absent from the previous reading began at 0.
      const value = grown((it) => it.totals?.rejects?.[reason] ?? 0);
      rates.set(reason, (rates.get(reason) ?? 0) + value);
    }
  }
  return rates;
}

/** The nodes of each process, Shields first: the first one has the process's figures. */
export function processesOf(nodes) {
  const order = ({ kind, node_id }) => `${kind === "shield" ? 0 : 1} ${node_id}`;
  const processes = new Map();
  for (const node of [...nodes].sort((a, b) => (order(a) < order(b) ? -1 : 1))) {
    const { process_id } = node;
    processes.set(process_id, [...(processes.get(process_id) ?? []), node]);
  }
  return [...processes.values()];
}

function pointOf(nodes, before, at_ms) {
  const all = nodes.map((node) => ({ node, grown: growth(before.get(node.node_id), node) }));
  const shields = all.filter(({ node }) => node.kind === "shield");
  const gauge = (name) => total(shields.map(({ node }) => node.gauges?.[name]));
  const grew = (name) => total(shields.map(({ grown }) => grown?.((it) => it.totals?.[name])));
  const rejects = rejectRates(shields);
  return {
    at_ms,
    connections: gauge("connections"),
    ingress: grew("ingress_messages"),
    egress: grew("egress_messages"),
    rejects,
    rejects_total: shields.some(({ grown }) => grown !== undefined)
      ? total([0, ...rejects.values()])
      : undefined,
    processes: new Map(
      processesOf(nodes).map((sharing) => [
        sharing.map(({ node_id }) => node_id).join(" + "),
        {
          lag: sharing[0].event_loop_lag_ms,
          rss: sharing[0].rss_bytes,
          cpu: growth(before.get(sharing[0].node_id), sharing[0])?.((it) => it.cpu_seconds),
        },
      ]),
    ),
    nodes: new Map(all.map(({ node, grown }) => [node.node_id, {
      cpu: grown?.((it) => it.cpu_seconds),
      ingress: grown?.((it) => it.totals?.ingress_messages),
      egress: grown?.((it) => it.totals?.egress_messages),
    }])),
  };
}

/** The points of the last `span_ms`, at most `points_max` of them. */
export function createHistory({ span_ms, points_max }) {
  let before = new Map();
  /** The nodes of the last reading before the latest gap. */
  let before_gap = new Map();
  const points = [];

  function keep(point) {
    points.push(point);
    while (points.length > points_max || points[0].at_ms < point.at_ms - span_ms) points.shift();
  }

  function add(nodes, at_ms) {
    const point = pointOf(nodes, before, at_ms);
    before = new Map(nodes.map((node) => [node.node_id, node]));
    keep(point);
    return point;
  }

  return {
    points,
    /** Adds the nodes of a reading at a time; returns its point. */
    add,
    /**
     * Fills the missing time up to `now_ms` with stored readings `{at_ms, nodes}`, oldest first. A gap that they do
     * not cover stays.
     */
    restore(readings, now_ms) {
      const known_ms = points.findLast((point) => !point.is_gap)?.at_ms ?? -Infinity;
      const missing = readings.filter(({ at_ms }) => at_ms > known_ms);
      const is_closed = (missing[0]?.at_ms ?? now_ms) - known_ms <= CLOSED_MS;
      if (is_closed && points.at(-1)?.is_gap) {
        points.pop();
        before = before_gap;
      }
      for (const { nodes, at_ms } of missing) add(nodes, at_ms);
    },
    /** Marks a time without data: lines break there, and rates start again. */
    gap(at_ms) {
      if (points.length === 0 || points.at(-1).is_gap) return;
      before_gap = before;
      before = new Map();
      keep({ at_ms, is_gap: true, rejects: new Map(), processes: new Map(), nodes: new Map() });
    },
  };
}

/**
 * One series for each name in the maps that `pick` returns for the points: the `series_max` largest at the
 * last reading, ordered by name so that each keeps its colour, and the number of the others.
 */
export function largestSeries(points, pick, value, series_max) {
  const names = new Set(points.flatMap((point) => [...pick(point).keys()]));
  const last = points.findLast((point) => !point.is_gap);
  const latest = (name) => (last === undefined ? undefined : value(pick(last).get(name))) ?? -1;
  const sorted = [...names].sort((a, b) => latest(b) - latest(a) || (a < b ? -1 : 1));
  const series = sorted.slice(0, series_max).sort().map((name) => ({
    name,
    values: points.map((point) => value(pick(point).get(name))),
  }));
  return { series, hidden: sorted.length - series.length };
}

/**
 * The smallest of 1, 2, 4, 6, 8 and their tenfolds (in powers of `base`) that is not below a value, so that half of
 * it is round, too.
 */
export function roundUp(value, base = 1_000) {
  if (!(value > 0)) return 1;
  const unit = base ** Math.floor(Math.log(value) / Math.log(base));
  const scaled = value / unit;
  const power = 10 ** Math.floor(Math.log10(scaled));
  const step = [1, 2, 4, 6, 8, 10].find((it) => it * power >= scaled * (1 - 1e-12));
  return step * power * unit;
}
