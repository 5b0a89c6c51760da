/**
 * The nodes of a cluster as `arq status` and `arq top` show them: read from `GET /v1/cluster`, and rates
 * between two readings. Pure; a node of another version may leave members out, which read as 0.
 */
import { printable } from "./exit.ts";

/** One Shield or Brain at one moment. */
export interface NodeReading {
  readonly kind: string;
  readonly node_id: string;
  readonly version: string;
  /** Unix ms; another one is another process. */
  readonly started_ms: number;
  readonly ready: boolean;
  readonly draining: boolean;
  /** The checks that fail, by name, and what they say. */
  readonly failing: readonly (readonly [name: string, detail: string])[];
  readonly cpu_seconds: number;
  readonly rss_bytes: number;
  readonly event_loop_lag_ms: number;
  readonly totals: Readonly<Record<string, unknown>>;
  readonly gauges: Readonly<Record<string, unknown>>;
}

/** A whole cluster at one moment. */
export interface ClusterReading {
  /** Unix ms, by the clock of the Shield that was asked. */
  readonly now_ms: number;
  readonly nodes: readonly NodeReading[];
  /** Nodes that were there and did not answer. */
  readonly silent: readonly string[];
}

/** What one node did between two readings. */
export interface NodeRates {
  readonly node: NodeReading;
  /** Absent when there is no earlier reading of this process. */
  readonly rates: {
    readonly ingress_per_second: number;
    readonly egress_per_second: number;
    readonly rejects_per_second: number;
    readonly handshakes_per_second: number;
    /** Cores in use. */
    readonly cpu: number;
  } | undefined;
}

type Members = Readonly<Record<string, unknown>>;

const members = (value: unknown): Members =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};

/** A figure of an answer; 0 for what is none. */
export const number = (value: unknown): number =>
  typeof value === "number" && Number.isFinite(value) ? value : 0;
/** The same as people read it, without a fraction. */
export const whole = (value: unknown): string => Math.round(number(value)).toLocaleString("en-US");

const texts = (value: unknown): string[] => Array.isArray(value) ? value.map(String) : [];

/** A total that is a number, or numbers by reason, as one number. */
export function totalOf(value: unknown): number {
  if (typeof value === "number") return number(value);
  return Object.values(members(value)).reduce<number>((sum, item) => sum + number(item), 0);
}

function readNode(value: unknown): NodeReading {
  const node = members(value);
  const failing = Object.entries(members(node["checks"])).flatMap(([name, check]) => {
    const { ok, detail } = members(check);
    return ok === true ? [] : [[name, String(detail ?? "")] as const];
  });
  return {
    kind: String(node["kind"] ?? "?"),
    node_id: String(node["node_id"] ?? "?"),
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

/** The answer of `GET /v1/cluster`: Shields first, each kind by name. */
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

/** Rates of each node since `before`; a node that is new, or has started anew, has none yet. */
export function ratesOf(before: ClusterReading | undefined, now: ClusterReading): NodeRates[] {
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

/** How a node stands, in one word. */
export function stateOf({ ready, draining }: NodeReading): string {
  return draining ? "draining" : ready ? "ready" : "NOT READY";
}

/** Rows as aligned text; the first column to the left, the others to the right. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const shown = rows.map((row) => row.map(printable));
  const widths = (shown[0] ?? []).map((_, column) =>
    Math.max(...shown.map((row) => (row[column] ?? "").length))
  );
  return shown.map((row) =>
    row.map((cell, column) =>
      column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
    ).join("  ").trimEnd() + "\n"
  ).join("");
}

/** A line a node; with rates where they are known. What fails stands below. */
export function clusterTable(
  { nodes, silent }: ClusterReading,
  rates?: readonly NodeRates[],
): string {
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
      own === undefined ? "" : `${Math.round(own.cpu * 100)}%`,
      `${node.event_loop_lag_ms.toFixed(1)} ms`,
      megabytes(node.rss_bytes),
      node.version,
    ]);
  }
  const problems = nodes.flatMap(({ kind, node_id, failing }) =>
    failing.map(([name, detail]) => `${kind} ${node_id}: ${name}: ${detail}`)
  );
  const missing = silent.map((node_id) => `${node_id}: no answer`);
  return aligned(rows) + [...problems, ...missing].map((line) => `${printable(line)}\n`).join("");
}
