/** A cluster for the model: NATS, two Shields and two Brains, all of them processes, and its faults. */
import { pace } from "../../shared/testing/pace.ts";
import type { FaultKind, ServerCount } from "../faults/fault.ts";
import { Fleet } from "../faults/fleet.ts";
import { freePort } from "../harness/free_ports.ts";
import type { TestBus, TokenOptions } from "../harness/test_bus.ts";
import { createWallClock, type WallClock } from "../wall_clock.ts";
import type { Harm } from "./fault_model.ts";
import { gaugesOf, idleAgain } from "./faults.ts";

const DAY_SECONDS = 86_400;
/** How long a process is stopped or cut off, in ms: clients notice it, and no Shield is considered dead. */
const OUTAGE_MS = 3_000;
/** How long a killed process is down. */
const DOWN_MS = 300;

const SHIELDS = ["shield-0", "shield-1"] as const;
const BRAINS = ["brain-0", "brain-1"] as const;

/** The processes; faults hit the first Shield. */
export interface Cluster {
  readonly fleet: Fleet;
  /** Of the first Shield and the first Brain; undefined: this machine has no library for it. */
  readonly clock: WallClock | undefined;
  /** Unexpected events: processes that ended by themselves, uncaught errors. */
  surprises(): readonly string[];
}

/** The cluster's parts. */
export interface ClusterOptions {
  /** Lines of the configuration. */
  readonly lines: string;
  /** Number of NATS servers. */
  readonly servers: ServerCount;
  /** For logs; exists. */
  readonly dir: string;
  readonly onFault?: (target: string, kind: FaultKind) => void;
}

/** Starts it. */
export async function startCluster(
  { lines, servers, dir, onFault = () => {} }: ClusterOptions,
  stack: AsyncDisposableStack,
): Promise<Cluster> {
  const clock = await createWallClock(dir);
  const ports = new Map<string, number>(SHIELDS.map((name) => [name, freePort()]));
  const surprises: string[] = [];
  const fleet = stack.use(
    await Fleet.open({
      brains: BRAINS,
      shields: SHIELDS,
      balancers: ["balancer-0"],
      servers,
      proxied: true,
      config: lines,
      server_lines: "drain_ms = 3000\n",
      dir,
      ownOf: (name) => {
        const port = ports.get(name);
        return {
          ...(port === undefined ? {} : { port }),
          ...(name === SHIELDS[0] || name === BRAINS[0] ? { env: clock?.env ?? {} } : {}),
        };
      },
      say: () => {},
      onFault: ({ target, kind }) => onFault(target, kind),
      onSurprise: (text) => void surprises.push(text),
    }),
  );
  await fleet.start();
  return { fleet, clock, surprises: () => [...surprises, ...fleet.bugs()] };
}

/** A Shield as clients see it, whatever its current process; `host`: through a load balancer. */
export function busOf({ fleet }: Cluster, name: typeof SHIELDS[number], host?: string): TestBus {
  const tokenFor = (
    { role = "user", tenant = "default", user = "tester", claims }: TokenOptions = {},
  ) =>
    fleet.issuer.tokenFor({
      role,
      tenant_id: tenant,
      sub: user,
      // Tokens outlive clock steps.
      exp: Math.floor(Date.now() / 1_000) + DAY_SECONDS,
      ...claims,
    });
  const ready = (member: string) => fleet.ready(name)[member] ?? "";
  return {
    get http_url() {
      return host === undefined ? ready("url") : `http://${host}`;
    },
    get admin_url() {
      return ready("admin_url");
    },
    get ops_url() {
      return ready("ops_url");
    },
    get url() {
      return `${this.http_url.replace(/^http/, "ws")}/v1/socket`;
    },
    token: "",
    tokenFor,
    log: () => fleet.log(name),
    stop: () => Promise.reject(new TypeError("a Shield ends with its cluster")),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A fault of a cluster. */
export interface ClusterFault {
  readonly name: string;
  readonly harm: Harm;
  readonly strike: (cluster: Cluster) => Promise<void>;
}

/** A fault of that process. */
function hurts(target: string, kind: FaultKind, away_ms: number): ClusterFault["strike"] {
  return ({ fleet }) => fleet.hurt({ target, kind, away_ms });
}

async function setClock({ clock }: Cluster): Promise<void> {
  for (const ahead_s of [2, -2, 20, -20, 7_200, -7_200]) {
    await clock?.set(ahead_s);
    await pace(100);
    await clock?.set(0);
  }
}

/** All faults of a cluster with that many NATS servers. */
export function clusterFaults(servers: ServerCount): readonly ClusterFault[] {
  const [shield] = SHIELDS;
  const fault = (name: string, harm: Harm, strike: ClusterFault["strike"]) => (
    { name, harm, strike }
  );
  /** The faults of `count` processes in turn. */
  const inTurn = (group: string, count: number) => {
    let turn = 0;
    return (kind: FaultKind, away_ms: number): ClusterFault["strike"] => (cluster) =>
      hurts(`${group}-${turn++ % count}`, kind, away_ms)(cluster);
  };
  const brain = inTurn("brain", BRAINS.length);
  const server = inTurn("nats", servers);
  const killed: Harm = { cuts_clients: true, kills_shield: true, forgets: true };
  const cuts_spine: Harm = { cuts_spine: true };
  const all = [
    fault("a Shield is killed", killed, hurts(shield, "kill", DOWN_MS)),
    fault(
      "a Shield is restarted",
      { cuts_clients: true, forgets: true, moves: true },
      hurts(shield, "restart", DOWN_MS),
    ),
    fault(
      "a Shield stands still",
      { cuts_clients: true, cuts_spine: true },
      hurts(shield, "stop", OUTAGE_MS),
    ),
    fault("a link is cut", cuts_spine, hurts(shield, "cut", OUTAGE_MS)),
    fault("a Brain is killed", { kills_brain: true }, brain("kill", DOWN_MS)),
    fault("a Brain is restarted", { kills_brain: true }, brain("restart", DOWN_MS)),
    fault("a Brain stands still", { kills_brain: true }, brain("stop", OUTAGE_MS)),
    fault("a Brain is cut off", { kills_brain: true }, brain("cut", OUTAGE_MS)),
    fault("the server stands still", cuts_spine, server("stop", OUTAGE_MS)),
    fault("the server is killed", cuts_spine, server("kill", DOWN_MS)),
    fault("a clock is set", { steps_clock: true }, setClock),
  ];
  if (servers === 1) return all;
  const both = async (cluster: Cluster) => {
    const struck = [hurts(shield, "kill", OUTAGE_MS), server("kill", OUTAGE_MS)];
    await Promise.all(struck.map((strike) => strike(cluster)));
  };
  return [...all, fault("a server and a Shield are killed", { ...killed, ...cuts_spine }, both)];
}

/** Gauges of its idle processes, by name. */
export type Rest = ReadonlyMap<string, ReadonlyMap<string, number>>;

const NAMES = [...SHIELDS, ...BRAINS];

/** The current gauges. */
export async function restOf({ fleet }: Cluster): Promise<Rest> {
  const gauges = NAMES.map(async (name) =>
    [name, await gaugesOf(fleet.ready(name)["ops_url"] ?? "")] as const
  );
  return new Map(await Promise.all(gauges));
}

/** All processes run, nothing unexpected happened, and they are as idle as before. */
export async function atRest(cluster: Cluster, before: Rest): Promise<void> {
  for (const [name, gauges] of before) {
    await idleAgain(cluster.fleet.ready(name)["ops_url"] ?? "", gauges);
  }
  const surprises = cluster.surprises();
  if (surprises.length > 0) throw new Error(surprises.join("\n"));
}
