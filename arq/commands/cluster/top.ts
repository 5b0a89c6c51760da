/**
 * `arq top`: shows the cluster's activity, refreshed every few seconds: the nodes, then the busiest tenants, rooms and
 * policies. Rates are those between two readings; totals count from the start of the processes.
 */
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { aligned, clusterTable, number, ratesOf, readCluster } from "../../answers/cluster.ts";
import { whole } from "../../answers/cluster.ts";
import type { ClusterReading, NodeRates } from "../../answers/cluster.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { type Ended, type Io, sleep } from "../../terminal/io.ts";
import { whyOf } from "../../terminal/exit.ts";
import { openScreen } from "../../terminal/screen.ts";
import type { Flags } from "../../program/flags.ts";
import { time } from "../../answers/figures.ts";

type Row = Readonly<Record<string, unknown>>;

/** The readings that one view shows. */
interface Reading {
  readonly cluster: ClusterReading;
  readonly tenants: readonly Row[];
  readonly rooms: readonly Row[];
  readonly policies: readonly Row[];
}

const rowsOf = (answer: Row, name: string): Row[] => listOf(answer[name]).map(membersOf);

async function read(admin: Admin, rows: number): Promise<Reading> {
  const busiest = { sort: "messages", limit: rows };
  const [cluster, tenants, rooms, policies] = await Promise.all([
    admin.get("/v1/cluster"),
    admin.get("/v1/tenants", busiest),
    admin.get("/v1/rooms", busiest),
    // A Shield without the Overseer has no such figures.
    admin.get("/v1/policies/stats").catch(() => ({})),
  ]);
  return {
    cluster: readCluster(cluster),
    tenants: rowsOf(tenants, "tenants"),
    rooms: rowsOf(rooms, "rooms"),
    policies: rowsOf(policies, "policies").slice(0, rows),
  };
}

/** The count that sorts a list, and the members that name a row. */
interface Columns {
  readonly of: "tenants" | "rooms";
  readonly keys: readonly string[];
  /** Members that are shown; the rate of `rate` precedes it. */
  readonly figures: readonly string[];
  readonly rate: string;
}

const TENANTS: Columns = {
  of: "tenants",
  keys: ["tenant_id", ""],
  rate: "ingress_messages",
  figures: ["connections", "rooms", "ingress_messages", "rejects"],
};
const ROOMS: Columns = {
  of: "rooms",
  keys: ["room_id", "tenant_id"],
  rate: "messages",
  figures: ["subscribers", "messages"],
};

/** The rows with messages per second since the previous reading; a new row has no rate. */
function countedRows(
  { of, keys, figures, rate }: Columns,
  now: Reading,
  before: Reading | undefined,
): string[][] {
  const seconds = (now.cluster.now_ms - (before?.cluster.now_ms ?? now.cluster.now_ms)) / 1_000;
  return now[of].map((row) => {
    const earlier = before?.[of].find((other) => keys.every((key) => other[key] === row[key]));
    const grown = number(row[rate]) - number(earlier?.[rate]);
    const is_known = earlier !== undefined && seconds > 0;
    return [
      ...keys.map((key) => String(row[key] ?? "")),
      ...figures.flatMap((name) => [
        ...(name === rate ? [is_known ? whole(Math.max(0, grown) / seconds) : ""] : []),
        whole(row[name]),
      ]),
    ];
  });
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
  const at = time(now.cluster.now_ms);
  return `${at}\n\n${clusterTable(now.cluster, rates)}` +
    list(
      ["tenant", "", "conns", "rooms", "in/s", "in", "rejects"],
      countedRows(TENANTS, now, before),
    ) +
    list(["room", "tenant", "subscribers", "msg/s", "messages"], countedRows(ROOMS, now, before)) +
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

/** Draws until `--count` views are shown or Ctrl-C. Retries after a failed reading. */
export async function top(io: Io, flags: Flags<"interval" | "rows">): Promise<Ended> {
  const admin = await findAdmin(io, flags);
  const is_json = flags.json === true;
  let before: Reading | undefined = await read(admin, flags.rows);
  const screen = openScreen(io, is_json);
  try {
    for (let left = flags.count ?? Infinity; left > 0; left--) {
      await sleep(1_000 * flags.interval, io.signal);
      try {
        const now = await read(admin, flags.rows);
        const rates = ratesOf(before?.cluster, now.cluster);
        await screen.show(is_json ? asJson(now, rates) : view(now, before, rates));
        before = now;
      } catch (error) {
        io.signal.throwIfAborted();
        if (left === 1) throw error;
        await screen.show(is_json ? "" : `${whyOf(error)}\n`);
      }
    }
  } finally {
    await screen.close();
  }
}
