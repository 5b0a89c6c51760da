// Columns of a node, for the overview and the list of nodes.
import { column, linked, plain, toned } from "./columns.js";
import { bytes, count, duration, milliseconds, percent, rate } from "./format.js";
import { processesOf } from "./rates.js";
import { address } from "./router.js";
import { Table } from "./table.js";

export function nodeState(node) {
  if (node.draining) return { text: "draining", tone: "warn" };
  return node.ready ? { text: "ready", tone: "ok" } : { text: "not ready", tone: "bad" };
}

export function failedChecks(node) {
  return Object.entries(node.checks ?? {}).filter(([, { ok }]) => !ok).map(([name]) => name);
}

function checksCell({ node }) {
  const failed = failedChecks(node);
  const all = Object.keys(node.checks ?? {}).length;
  return failed.length === 0
    ? { text: `${all} ok`, dim: true, title: Object.keys(node.checks ?? {}).join(", ") }
    : { text: `${failed.join(", ")} failing`, tone: "bad" };
}

/** A number whose unknown value is dimmed; zero is not. */
const numeric = (id, label, value, format, about) =>
  column(id, label, value, (number) => ({ text: format(number), dim: number === undefined }), {
    numeric: true,
    about,
  });

/** A figure of the process, only in the row of its first node. */
const ofProcess = (id, label, value, format, about) => {
  const own = numeric(id, label, (row) => row.first ? undefined : value(row), format, about);
  const shared = ({ first }) => ({
    text: "shared",
    dim: true,
    title: `One process with ${first}, whose row has its figures`,
  });
  return { ...own, cell: (row) => (row.first ? shared(row) : own.cell(row)) };
};

/**
 * Columns for rows `{node, rates, first}`; `rates` are the node's rates at the last point, if any, and
 * `first` is the node whose row has the process's figures, if that is another one.
 */
export const NODE_COLUMNS = [
  linked("node", "Node", ({ node }) => node.node_id, (id) => address("nodes", id)),
  plain("kind", "Kind", ({ node }) => (node.kind === "brain" ? "Brain" : "Shield")),
  toned(
    "state",
    "State",
    ({ node }) => nodeState(node).text,
    (_, { node }) => nodeState(node).tone,
  ),
  column("checks", "Checks", ({ node }) => -failedChecks(node).length, (_, row) => checksCell(row)),
  numeric("connections", "Connections", ({ node }) => node.gauges?.connections, count),
  numeric("ingress", "In", ({ rates }) => rates?.ingress, rate, "Messages a second from clients"),
  numeric("egress", "Out", ({ rates }) => rates?.egress, rate, "Messages a second to clients"),
  ofProcess("lag", "Loop lag", ({ node }) => node.event_loop_lag_ms, milliseconds),
  ofProcess("cpu", "CPU", ({ rates }) => rates?.cpu, percent, "Of one core"),
  ofProcess("rss", "Memory", ({ node }) => node.rss_bytes, bytes, "Resident set"),
  numeric("uptime", "Uptime", ({ node }) => node.uptime_ms, duration),
  column("version", "Version", ({ node }) => node.version, (text = "–") => ({ text, dim: true })),
];

export function nodeRows({ nodes }, history) {
  const rates = history.points.at(-1)?.nodes ?? new Map();
  return processesOf(nodes).flatMap(([first, ...others]) => [
    { node: first, rates: rates.get(first.node_id) },
    ...others.map((node) => ({ node, rates: rates.get(node.node_id), first: first.node_id })),
  ]);
}

export const nodeTable = (columns) =>
  new Table({
    caption: "Nodes",
    columns,
    key: ({ node }) => node.node_id,
    sort: { id: "node", direction: "ascending" },
    empty: "No node has answered yet.",
  });
