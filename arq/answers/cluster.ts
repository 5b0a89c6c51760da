/**
 * Reads the nodes of a cluster from `GET /v1/cluster`, for `arq status` and `arq top`, and computes rates
 * between two readings. Pure. A node of another version may leave members out; they read as 0.
 */
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";
import { inColumns, linesText } from "../terminal/columns.ts";
import { type Members, membersOf as members } from "./policy_text.ts";

/** One Shield or Brain at one moment. */
export type NodeReading = ReturnType<typeof readNode>;

/** A whole cluster at one moment. */
export interface ClusterReading {
  /** Unix ms, by the clock of the Shield that was asked. */
  readonly now_ms: number;
  readonly nodes: readonly NodeReading[];
  /** Names of the nodes that did not answer. */
  readonly silent: readonly string[];
}

/** What one node did between two readings. */
export type NodeRates = ReturnType<typeof ratesOf>[number];

/** A value of an answer as a number; 0 when it is not a number. */
export const number = (value: unknown): number =>
  typeof value === "number" && Number.isFinite(value) ? value : 0;
/** The value of an answer as text for people, without a fraction. */
export const whole = (value: unknown): string => Math.round(number(value)).toLocaleString("en-US");

const texts = (value: unknown): string[] => Array.isArray(value) ? value.map(String) : [];

/** One number for a total, which is a number or an object with numbers by reason. */
export function totalOf(value: unknown): number {
  if (typeof value === "number") return number(value);
  return Object.values(members(value)).reduce<number>((sum, item) => sum + number(item), 0);
}

function readNode(value: unknown) {
  const node = members(value);
  const failing = Object.entries(members(node["checks"])).flatMap(([name, check]) => {
    const { ok, detail } = members(check);
    return ok === true ? [] : [[name, String(detail ?? "")] as const];
  });
  return {
    kind: String(node["kind"] ?? "?"),
    node_id: String(node["node_id"] ?? "?"),
    process_id: String(node["process_id"]),
    version: String(node["version"] ?? "?"),
    started_ms: number(node["started_ms"]),
    ready: node["ready"] === true,
    draining: node["draining"] === true,
    failing,
    cpu_seconds: number(node["cpu_seconds"]),
    rss_bytes: number(node["rss_bytes"]),
    event_loop_lag_ms: number(node["event_loop_lag_ms"]),
    totals: members(node["totals"]),
    gauges: members(node["gauges"]),
  };
}

/** Reads the answer of `GET /v1/cluster`. Shields come first; nodes of one kind are sorted by name. */
export function readCluster(answer: Members): ClusterReading {
  const { nodes } = answer;
  const order = ({ kind, node_id }: NodeReading) => `${kind === "shield" ? 0 : 1} ${node_id}`;
  return {
    now_ms: number(answer["now_ms"]),
    nodes: (Array.isArray(nodes) ? nodes : []).map(readNode)
      .sort((a, b) => order(a) < order(b) ? -1 : 1),
    silent: texts(answer["silent"]),
  };
}

/** Rates of each node since the reading `before`. A new or restarted node has no rates yet. */
export function ratesOf(before: ClusterReading | undefined, now: ClusterReading) {
  const seconds = (now.now_ms - (before?.now_ms ?? 0)) / 1_000;
  return now.nodes.map((node) => {
    const earlier = before?.nodes.find(({ kind, node_id, started_ms }) =>
      kind === node.kind && node_id === node.node_id && started_ms === node.started_ms
    );
    if (earlier === undefined || seconds <= 0) return { node, rates: undefined };
    const rate = (...names: string[]) =>
      names.reduce((sum, name) => {
        return sum + Math.max(0, totalOf(node.totals[name]) - totalOf(earlier.totals[name]));
      }, 0) / seconds;
    return {
      node,
      rates: {
        ingress_per_second: rate("ingress_messages", "commands"),
        egress_per_second: rate("egress_messages"),
        rejects_per_second: rate("rejects"),
        handshakes_per_second: rate("handshakes"),
        cpu: Math.max(0, node.cpu_seconds - earlier.cpu_seconds) / seconds,
      },
    };
  });
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1_048_576)} MB`;

function stateOf({ ready, draining }: NodeReading): string {
  return draining ? "draining" : ready ? "ready" : "NOT READY";
}

/** Rows as aligned text: the first two columns to the left, the others to the right. */
export function aligned(rows: readonly (readonly string[])[]): string {
  return linesText(inColumns(rows.map((row) => row.map(printable)), 2));
}

/** The first listed node of each process. Its line in the table shows what the process uses. */
function firstOfProcess(nodes: readonly NodeReading[]): Map<string, NodeReading> {
  const first = new Map<string, NodeReading>();
  for (const node of nodes) if (!first.has(node.process_id)) first.set(node.process_id, node);
  return first;
}

const cpuText = (cpu: number | undefined) => cpu === undefined ? "" : `${Math.round(cpu * 100)}%`;
const lagText = (lag_ms: number) => `${lag_ms.toFixed(1)} ms`;

/** The row that adds up all processes, each counted once; empty for a single node. */
function totalRow(
  nodes: readonly NodeReading[],
  rates: readonly NodeRates[] | undefined,
): string[][] {
  if (nodes.length < 2) return [];
  const first = [...firstOfProcess(nodes).values()];
  const sum = (values: readonly (number | undefined)[]): number | undefined => {
    const known = values.filter((value) => value !== undefined);
    return known.length === 0 ? undefined : known.reduce((all, value) => all + value, 0);
  };
  const shields = nodes.filter(({ kind }) => kind === "shield");
  // Each room has one Brain, so the counts of the Brains add up; a Shield counts rooms with a subscriber.
  const brains = nodes.filter(({ kind }) => kind === "brain");
  const rate = (name: "ingress_per_second" | "egress_per_second" | "rejects_per_second") =>
    sum((rates ?? []).filter(({ node }) => shields.includes(node)).map((it) => it.rates?.[name]));
  const shown = (value: number | undefined) => value === undefined ? "" : whole(value);
  const cpu = sum(first.map((node) => rates?.find((it) => it.node === node)?.rates?.cpu));
  return [[
    "total",
    plural(first.length, "process", "processes"),
    shown(sum(shields.map(({ gauges }) => number(gauges["connections"])))),
    shown(sum(brains.map(({ gauges }) => number(gauges["rooms"])))),
    "",
    shown(rate("ingress_per_second")),
    shown(rate("egress_per_second")),
    shown(rate("rejects_per_second")),
    cpuText(cpu),
    "",
    megabytes(sum(first.map(({ rss_bytes }) => rss_bytes)) ?? 0),
    "",
  ]];
}

/** A sentence about the nodes whose `[[rooms]]` differ from those of most nodes; they would treat rooms differently. */
export function differentClasses({ nodes }: Pick<ClusterReading, "nodes">): string | undefined {
  const known = nodes.filter(({ gauges }) => typeof gauges["room_classes_hash"] === "number");
  const groups = [...Map.groupBy(known, ({ gauges }) => gauges["room_classes_hash"]).values()]
    .toSorted((a, b) => b.length - a.length);
  if (groups.length < 2) return undefined;
  const named = groups.map((group) =>
    group.map(({ kind, node_id }) => `${kind} ${node_id}`).join(", ")
  );
  return `[[rooms]] differ between processes: ${named.join(" | ")}`;
}

/** A sentence about the nodes that cannot understand each other because their wire versions are too far apart. */
export function apartVersions({ nodes }: Pick<ClusterReading, "nodes">): string | undefined {
  // Nodes of the first release announce no wire version.
  const wire = ({ gauges }: NodeReading, name: string) => number(gauges[name]) || 1;
  const newest = Math.max(...nodes.map((node) => wire(node, "wire_oldest")));
  const old = nodes.filter((node) => wire(node, "wire_version") < newest);
  if (old.length === 0) return undefined;
  const named = old.map(({ kind, node_id, version }) => `${kind} ${node_id} (${version})`).join(
    ", ",
  );
  return `too old to run with the others: ${named}`;
}

/**
 * The table of `arq status`: one line for each node, with rates where they are known. Nodes of one process share CPU,
 * lag and memory, which are in the line of the first. Failing checks are below the table.
 */
export function clusterTable(
  { nodes, silent }: ClusterReading,
  rates?: readonly NodeRates[],
): string {
  const first = firstOfProcess(nodes);
  const head = ["node", "state", "conns", "rooms", "members", "in/s", "out/s", "rejects/s"];
  const rows = [[...head, "cpu", "lag", "memory", "version"]];
  for (const node of nodes) {
    const own = rates?.find((it) => it.node === node)?.rates;
    const gauge = (name: string) => node.gauges[name];
    const shown = (value: unknown) => value === undefined ? "" : whole(value);
    rows.push([
      `${node.kind} ${node.node_id}`,
      stateOf(node),
      shown(gauge("connections")),
      shown(gauge("rooms")),
      shown(gauge("members")),
      shown(own?.ingress_per_second),
      node.kind === "shield" ? shown(own?.egress_per_second) : "",
      node.kind === "shield" ? shown(own?.rejects_per_second) : "",
      ...(first.get(node.process_id) === node
        ? [cpuText(own?.cpu), lagText(node.event_loop_lag_ms), megabytes(node.rss_bytes)]
        : ["shared", "shared", "shared"]),
      node.version,
    ]);
  }
  rows.push(...totalRow(nodes, rates));
  const shared = nodes.flatMap((node) => {
    const host = first.get(node.process_id);
    if (host === undefined || host === node) return [];
    return [`${node.kind} ${node.node_id}: one process with ${host.kind} ${host.node_id}`];
  });
  const problems = nodes.flatMap(({ kind, node_id, failing }) =>
    failing.map(([name, detail]) => `${kind} ${node_id}: ${name}: ${detail}`)
  );
  const missing = silent.map((node_id) => `${node_id}: no answer`);
  const warnings = [apartVersions({ nodes }), differentClasses({ nodes })]
    .flatMap((text) => text === undefined ? [] : [`WARNING: ${text}`]);
  return aligned(rows) + linesText([...shared, ...warnings, ...problems, ...missing]);
}
