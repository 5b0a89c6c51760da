/**
 * `arq top`: shows what the cluster does, drawn anew every few seconds: the nodes, then the busiest tenants,
 * rooms and policies. Rates are those between two readings; totals count from the start of the processes.
 */
import { type Admin, askAdmin, findAdmin } from "../../bus/admin.ts";
import {
  aligned,
  clusterTable,
  number,
  ratesOf,
  readCluster,
  whole,
} from "../../answers/cluster.ts";
import type { ClusterReading, NodeRates } from "../../answers/cluster.ts";
import { pause } from "../../rooms/flow.ts";
import type { Ended, Io } from "../../terminal/io.ts";
import { openScreen, problemText } from "../../terminal/screen.ts";
import type { Flags } from "../../program/flags.ts";

type Row = Readonly<Record<string, unknown>>;

/** The readings that one view shows. */
interface Reading {
  readonly cluster: ClusterReading;
  readonly tenants: readonly Row[];
  readonly rooms: readonly Row[];
  readonly policies: readonly Row[];
}

const rowsOf = (answer: Row, name: string): Row[] =>
  Array.isArray(answer[name])
    ? answer[name].filter((row): row is Row => typeof row === "object" && row !== null)
    : [];

async function read(io: Io, admin: Admin, rows: number): Promise<Reading> {
  const ask = (path: string) => askAdmin(io, admin, { method: "GET", path });
  const limit = `limit=${rows}`;
  const [cluster, tenants, rooms, policies] = await Promise.all([
    ask("/v1/cluster"),
    ask(`/v1/tenants?sort=messages&${limit}`),
    ask(`/v1/rooms?sort=messages&${limit}`),
    // A Shield without the Overseer has no such figures.
    ask(`/v1/policies/stats`).catch(() => ({})),
  ]);
  return {
    cluster: readCluster(cluster),
    tenants: rowsOf(tenants, "tenants"),
    rooms: rowsOf(rooms, "rooms"),
    policies: rowsOf(policies, "policies").slice(0, rows),
  };
}

/** Messages per second of a row that the reading before has; undefined for a new row. */
function rateOf(
  row: Row,
  before: readonly Row[],
  keys: readonly string[],
  of: string,
  seconds: number,
) {
  const earlier = before.find((other) => keys.every((key) => other[key] === row[key]));
  if (earlier === undefined || seconds <= 0) return undefined;
  return Math.max(0, number(row[of]) - number(earlier[of])) / seconds;
}

const shown = (rate: number | undefined) => rate === undefined ? "" : whole(rate);

function tenantRows(now: Reading, before: Reading | undefined, seconds: number): string[][] {
  return now.tenants.map((row) => [
    String(row["tenant_id"]),
    "",
    whole(row["connections"]),
    whole(row["rooms"]),
    shown(rateOf(row, before?.tenants ?? [], ["tenant_id"], "ingress_messages", seconds)),
    whole(row["ingress_messages"]),
    whole(row["rejects"]),
  ]);
}

function roomRows(now: Reading, before: Reading | undefined, seconds: number): string[][] {
  return now.rooms.map((row) => [
    String(row["room_id"]),
    String(row["tenant_id"]),
    whole(row["subscribers"]),
    shown(rateOf(row, before?.rooms ?? [], ["tenant_id", "room_id"], "messages", seconds)),
    whole(row["messages"]),
  ]);
}

function policyRows({ policies }: Reading): string[][] {
  return policies.map((row) => {
    const verdicts = { ...row["verdicts"] as Row | undefined };
    return [
      String(row["name"] ?? row["module"]).slice(0, 32),
      String(row["tenant_id"]),
      whole(verdicts["allow"]),
      whole(verdicts["reject"]),
      whole(verdicts["error"]),
      whole(row["fuel_mean"]),
      `${whole(row["p50_us"])} µs`,
      `${whole(row["p99_us"])} µs`,
    ];
  });
}

function list(head: readonly string[], rows: readonly string[][]): string {
  return rows.length === 0 ? "" : `\n${aligned([head, ...rows])}`;
}

function view(now: Reading, before: Reading | undefined, rates: readonly NodeRates[]): string {
  const seconds = (now.cluster.now_ms - (before?.cluster.now_ms ?? now.cluster.now_ms)) / 1_000;
  const at = new Date(now.cluster.now_ms).toISOString();
  return `${at}\n\n${clusterTable(now.cluster, rates)}` +
    list(
      ["tenant", "", "conns", "rooms", "in/s", "in", "rejects"],
      tenantRows(now, before, seconds),
    ) +
    list(["room", "tenant", "subscribers", "msg/s", "messages"], roomRows(now, before, seconds)) +
    list(
      ["policy", "tenant", "allowed", "rejected", "failed", "fuel", "p50", "p99"],
      policyRows(now),
    );
}

function asJson(now: Reading, rates: readonly NodeRates[]): string {
  const nodes = rates.map(({ node, rates }) => ({ ...node, rates: rates ?? null }));
  const { cluster: { now_ms, silent }, tenants, rooms, policies } = now;
  return `${JSON.stringify({ now_ms, nodes, silent, tenants, rooms, policies })}\n`;
}

/** Draws until `--count` views are shown or Ctrl-C. After a failed reading it tries again. */
export async function top(io: Io, flags: Flags<"interval" | "rows">): Promise<Ended> {
  const admin = await findAdmin(io, flags);
  const is_json = flags.json === true;
  let before: Reading | undefined = await read(io, admin, flags.rows);
  const screen = openScreen(io, is_json);
  try {
    for (let left = flags.count ?? Infinity; left > 0; left--) {
      await pause(1_000 * flags.interval, io.signal);
      io.signal.throwIfAborted();
      try {
        const now = await read(io, admin, flags.rows);
        const rates = ratesOf(before?.cluster, now.cluster);
        await screen.show(is_json ? asJson(now, rates) : view(now, before, rates));
        before = now;
      } catch (error) {
        io.signal.throwIfAborted();
        if (left === 1) throw error;
        await screen.show(is_json ? "" : `${problemText(error)}\n`);
      }
    }
  } finally {
    await screen.close();
  }
}
