/** A cluster for the model: NATS, two Shields and two Brains, all processes of their own, and what hurts it. */
import { pace } from "../../shared/testing/pace.ts";
import { type Issuer, type ServerProcess, startServer } from "../harness/cluster.ts";
import { freePort } from "../harness/free_ports.ts";
import { type NatsServer, startNats } from "../harness/nats_server.ts";
import { startTcpProxy, type TcpProxy } from "../harness/tcp_proxy.ts";
import type { TestBus, TokenOptions } from "../harness/test_bus.ts";
import { createWallClock, type WallClock } from "../wall_clock.ts";
import type { Harm } from "./fault_model.ts";
import { gaugesOf, idleAgain } from "./faults.ts";

const DAY_SECONDS = 86_400;
/** So long the server stands still or a link is cut, in ms: clients notice it, and no Shield is taken for gone. */
const OUTAGE_MS = 3_000;

/** The processes; the first Shield and the first Brain are those that are struck. */
export interface Cluster {
  readonly nats: NatsServer;
  /** Between the first Shield and NATS. */
  readonly link: TcpProxy;
  /** Of the first Shield; undefined: this machine has no library for it. */
  readonly clock: WallClock | undefined;
  readonly servers: Record<Name, ServerProcess>;
  /** Kills it and starts it again where it was. */
  replace(name: Name): Promise<void>;
}

type Name = "shield-0" | "shield-1" | "brain-0" | "brain-1";

/** Starts it; `lines` are of the configuration. */
export async function startCluster(
  issuer: Issuer,
  lines: string,
  stack: AsyncDisposableStack,
): Promise<Cluster> {
  const nats = stack.use(await startNats({ jetstream: true }));
  const link = stack.use(startTcpProxy(nats.port));
  const clock = await createWallClock(issuer.dir);
  const ports: Partial<Record<Name, number>> = { "shield-0": freePort(), "shield-1": freePort() };
  const start = (name: Name) => {
    const url = name === "shield-0" ? `nats://127.0.0.1:${link.port}` : nats.url;
    const config = `${issuer.config}[nats]\nurls = ["${url}"]\n${lines}`;
    const part = name.startsWith("shield") ? "shield" : "brain";
    const env = name === "shield-0" ? clock?.env ?? {} : {};
    const own = `node_id = "${name}"\ndrain_ms = 0`;
    return startServer(part, config, issuer.dir, own, ports[name] ?? 0, [], "", "", env);
  };
  const names: Name[] = ["shield-0", "shield-1", "brain-0", "brain-1"];
  const begun = await Promise.all(names.map(async (name) => [name, await start(name)] as const));
  const servers = Object.fromEntries(begun) as Record<Name, ServerProcess>;
  stack.defer(async () => void await Promise.all(names.map((name) => servers[name].stop())));
  const replace = async (name: Name) => {
    await servers[name].stop("SIGKILL");
    servers[name] = await start(name);
  };
  return { nats, link, clock, servers, replace };
}

/** A Shield as clients see it, whichever process it is now. */
export function busOf(issuer: Issuer, server: () => ServerProcess): TestBus {
  const tokenFor = (
    { role = "user", tenant = "default", user = "tester", claims }: TokenOptions = {},
  ) =>
    issuer.tokenFor({
      ...{ role, tenant_id: tenant, sub: user },
      // Tokens outlast the steps of a clock.
      ...{ exp: Math.floor(Date.now() / 1_000) + DAY_SECONDS, ...claims },
    });
  const ready = (name: string) => server().ready[name] ?? "";
  return {
    get http_url() {
      return ready("url");
    },
    get admin_url() {
      return ready("admin_url");
    },
    get ops_url() {
      return ready("ops_url");
    },
    get url() {
      return `${ready("url").replace(/^http/, "ws")}/v1/socket`;
    },
    token: "",
    tokenFor,
    log: () => server().log(),
    stop: (signal) => server().stop(signal),
    [Symbol.asyncDispose]: async () => void await server().stop(),
  };
}

/** What hurts a cluster. */
export interface ClusterFault {
  readonly name: string;
  readonly harm: Harm;
  readonly strike: (cluster: Cluster) => Promise<void>;
}

/** All that are known. */
export const CLUSTER_FAULTS: readonly ClusterFault[] = [
  {
    name: "a Shield is killed",
    harm: { cuts_clients: true, kills_shield: true, forgets: true },
    strike: ({ replace }) => replace("shield-0"),
  },
  {
    name: "a Brain is killed",
    harm: { kills_brain: true },
    strike: ({ replace }) => replace("brain-0"),
  },
  {
    name: "the server stands still",
    harm: { cuts_spine: true },
    async strike({ nats }) {
      await nats.freeze();
      await pace(OUTAGE_MS);
      nats.resume();
    },
  },
  {
    name: "a link is cut",
    harm: { cuts_spine: true },
    async strike({ link }) {
      await link.cut();
      await pace(OUTAGE_MS);
      link.restore();
    },
  },
  {
    name: "a clock is set",
    harm: {},
    async strike({ clock }) {
      for (const ahead_s of [2, -2, 20, -20, 7_200, -7_200]) {
        await clock?.set(ahead_s);
        await pace(100);
        await clock?.set(0);
      }
    },
  },
];

/** How idle its processes are, by their names. */
export type Rest = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** How idle they are now. */
export async function restOf({ servers }: Cluster): Promise<Rest> {
  const gauges = Object.entries(servers).map(async ([name, { ready }]) =>
    [name, await gaugesOf(ready["ops_url"] ?? "")] as const
  );
  return new Map(await Promise.all(gauges));
}

/** All processes live, and are as idle as before. */
export async function atRest({ servers }: Cluster, before: Rest): Promise<void> {
  for (const [name, gauges] of before) {
    await idleAgain(servers[name as Name].ready["ops_url"] ?? "", gauges);
  }
}
