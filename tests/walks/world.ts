/**
 * The worlds of walks: a bus in this process that stores on a disk, or NATS with two Shields and two Brains; and their
 * faults.
 */
import { pace } from "../../shared/testing/pace.ts";
import type { FaultKind, ServerCount } from "../faults/fault.ts";
import type { Kill } from "./usage.ts";
import { freePorts } from "../harness/free_ports.ts";
import { startLocalBus, type TestBus } from "../harness/local_bus.ts";
import { Receiver } from "../hooks/receiver.ts";
import { AdminClient } from "../peers/admin_client.ts";
import type { Row } from "../model/factors.ts";
import { atRest, busOf, clusterFaults, restOf, startCluster } from "../model/fault_cluster.ts";
import { FAULT_FACTORS, type Harm } from "../model/fault_model.ts";
import { faultRows, gaugesOf, idleAgain } from "../model/faults.ts";
import { configOf, groundOf } from "../model/run.ts";
import type { Ground } from "../model/stage.ts";

/** A single fault of a world. */
export interface WorldFault {
  readonly harm: Harm;
  /** Whether it is compatible with a row. */
  readonly isApt?: (row: Partial<Row>) => boolean;
  /** Resolves when it is over. */
  strike(): Promise<void>;
}

/** A bus with its operators' rights. */
export interface World extends AsyncDisposable {
  /** Two addresses for publishers and readers, on NATS. */
  readonly grounds: readonly Ground[];
  /** Through a load balancer; absent: none. */
  readonly balanced?: TestBus;
  readonly faults: Readonly<Record<string, WorldFault>>;
  /** Killed Shields so far; absent: none can be killed. */
  readonly kills?: () => readonly Kill[];
  /** Keeps the logs of its processes, and returns their path; absent: they are this process's. */
  readonly keep?: () => string;
  /** Resolves when everything is as idle as at the beginning, and nothing unexpected happened. */
  atRest(): Promise<void>;
}

/** Tenants in a world's configuration, each with an app of the Pusher endpoint. */
export const TENANTS_MAX = 100;
const DAY_SECONDS = 86_400;

/** Their configuration. */
function walkConfig(receiver: Receiver): string {
  const [row] = faultRows(0, () => true, FAULT_FACTORS) as [Row];
  const rows = Array.from({ length: TENANTS_MAX }, (): Row => ({ ...row, source: "pusher" }));
  return `${configOf(rows, receiver)}[ledger]\nstore = true\n#constant ledger.flush_ms = 200\n`;
}

/** How long the whole process stalls, clients and bus. */
const STALL_MS = 400;
/** Between two steps of a clock. */
const CLOCK_MS = 100;

function stall(): Promise<void> {
  const until_ms = performance.now() + STALL_MS;
  while (performance.now() < until_ms);
  return Promise.resolve();
}

/** Opens a bus in this process. */
export async function openEmbedded(): Promise<World> {
  const stack = new AsyncDisposableStack();
  const receiver = stack.use(new Receiver());
  const data_dir = await Deno.makeTempDir({ prefix: "arqon-walk-" });
  stack.defer(() => Deno.remove(data_dir, { recursive: true }));
  const knobs = { more: "", ahead_ms: 0 };
  const config = walkConfig(receiver).replace("[server]\n", "[server]\ndrain_ms = 0\n");
  const ports = freePorts(3) as [number, number, number];
  const now = () => Date.now() + knobs.ahead_ms;
  const begin = () => startLocalBus(() => `${config}${knobs.more}`, { data_dir, ports, now });
  let local = await begin();
  stack.defer(async () => void await local.stop());
  // Tokens outlive the steps of the clock.
  const tokenFor: TestBus["tokenFor"] = (options) =>
    local.tokenFor({ ttl_seconds: DAY_SECONDS, ...options });
  const bus = { ...local, tokenFor };
  const ground = await groundOf(bus, bus, receiver);
  const operator = new AdminClient(
    bus.admin_url,
    await tokenFor({ role: "admin", user: "faults" }),
  );
  const before = await gaugesOf(bus.ops_url);
  const set = async (steps_s: readonly number[]) => {
    for (const step_s of steps_s) {
      knobs.ahead_ms = step_s * 1_000;
      await pace(CLOCK_MS);
      knobs.ahead_ms = 0;
      await pace(CLOCK_MS);
    }
  };
  const reload = async () => {
    for (const turn of [1, 2]) {
      knobs.more = `[growing]\nmessage_bytes = ${
        65_536 + turn
      }\n[[rooms]]\nroom = "else-${turn}-*"\n`;
      const { status, body } = await operator.ask("POST", "/v1/config/reload", {});
      if (status !== 200) throw new Error(`the reload: ${status} ${JSON.stringify(body)}`);
    }
  };
  const restart = async () => {
    await local.stop();
    local = await begin();
  };
  const faults: World["faults"] = {
    restart: { harm: { cuts_clients: true, forgets: true }, strike: restart },
    reload: { harm: {}, strike: reload },
    clock: { harm: { sets_clock: true }, strike: () => set([2, -2, 20, -20]) },
    // Standard Webhooks: a receiver rejects a call whose timestamp differs by more than five minutes.
    hours: {
      harm: { sets_clock: true },
      isApt: ({ hook }) => hook !== "yes",
      strike: () => set([7_200, -7_200]),
    },
    stall: { harm: {}, strike: stall },
  };
  return {
    grounds: [ground],
    faults,
    atRest: () => idleAgain(bus.ops_url, before),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Starts that many NATS servers, and four processes. */
export async function openCluster(servers: ServerCount): Promise<World> {
  const stack = new AsyncDisposableStack();
  const receiver = stack.use(new Receiver());
  const lines = walkConfig(receiver).replace(/\[server\][^[]*\[ops\][^[]*/, "");
  const dir = await Deno.makeTempDir({ prefix: "arqon-walk-" });
  let is_kept = false;
  stack.defer(async () => {
    if (!is_kept) await Deno.remove(dir, { recursive: true });
  });
  const kills: Kill[] = [];
  const onFault = (node_id: string, kind: FaultKind) => {
    if (kind === "kill" && node_id.startsWith("shield")) kills.push({ node_id, at_ms: Date.now() });
  };
  const cluster = await startCluster({ lines, servers, dir, onFault }, stack);
  const one = busOf(cluster, "shield-0");
  const two = busOf(cluster, "shield-1");
  // The second Shield, which no fault hits, answers admins.
  const forth = await groundOf(two, one, receiver);
  const before = await restOf(cluster);
  const faults = clusterFaults(servers).map(({ name, harm, strike }) =>
    [name, { harm, strike: () => strike(cluster) }] as const
  );
  return {
    grounds: [forth, { ...forth, bus: one, entry: two }],
    balanced: busOf(cluster, "shield-1", cluster.fleet.hosts[0]),
    faults: Object.fromEntries(faults),
    kills: () => kills,
    keep: () => {
      is_kept = true;
      return dir;
    },
    atRest: () => atRest(cluster, before),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** How to open a world on that many NATS servers. */
export const openerOf = (servers: "0" | "1" | "3"): () => Promise<World> =>
  servers === "0" ? openEmbedded : () => openCluster(servers === "1" ? 1 : 3);
