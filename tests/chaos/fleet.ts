/**
 * The cluster of a chaos run: three NATS servers or one, three Brains and two Shields, each a process
 * with a proxy in front of each NATS server, and two load balancers in front of the Shields. It carries
 * out faults; it knows nothing of clients.
 */
import { createIssuer } from "../harness/cluster.ts";
import type { Issuer } from "../harness/cluster.ts";
import { startNatsCluster } from "../harness/nats_cluster.ts";
import { startNats } from "../harness/nats_server.ts";
import type { NatsServer } from "../harness/nats_server.ts";
import { startTcpProxy } from "../harness/tcp_proxy.ts";
import type { TcpProxy } from "../harness/tcp_proxy.ts";
import { DURABLE_CONFIG } from "./durable_traffic.ts";
import { LeaderWatch } from "./leader_watch.ts";
import type { Fault, Targets } from "./script.ts";
import { ServerNode } from "./server_node.ts";
import type { Variant } from "./variant.ts";

/** How many NATS servers there are: one, or a cluster that keeps three copies. */
export type ServerCount = 1 | 3;

/** What a fleet reports to. */
export interface FleetOptions {
  readonly variant: Variant;
  /** Of NATS. */
  readonly servers: ServerCount;
  /** Of `[server]` of the Shields. */
  readonly shield_lines: string;
  /** For logs; exists. */
  readonly dir: string;
  readonly say: (line: string) => void;
  /** The run's clock, in ms. */
  readonly now: () => number;
  /** Hears of a fault when it begins. */
  readonly onFault: (fault: Fault) => void;
  readonly onSurprise: (text: string) => void;
}

const BRAINS = ["brain-0", "brain-1", "brain-2"];
const SHIELDS = ["shield-0", "shield-1"];
const BALANCERS = ["balancer-0", "balancer-1"];
const PROCESSES = [...BRAINS, ...SHIELDS];
/** What the names of NATS servers begin with. */
const NATS = "nats";

/** Whom a script may hurt. */
export function targetsOf(servers: ServerCount): Targets {
  const nats = Array.from({ length: servers }, (_, index) => `${NATS}-${index}`);
  return { processes: PROCESSES, shields: SHIELDS, nats, balancers: BALANCERS };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Made by `startFleet`. */
export class Fleet implements AsyncDisposable {
  readonly issuer: Issuer;
  /** Who leads the streams of NATS. */
  readonly leaders: LeaderWatch;
  readonly #options: FleetOptions;
  readonly #owned: AsyncDisposableStack;
  readonly #nats: readonly NatsServer[];
  readonly #nodes = new Map<string, ServerNode>();
  readonly #balancers: readonly TcpProxy[];
  /**
   * What goes on at each target: faults of one come after another. NATS servers are one target, so that
   * most of them are there.
   */
  readonly #busy = new Map<string, Promise<void>>();
  #turn = 0;

  constructor(
    options: FleetOptions,
    issuer: Issuer,
    nats: readonly NatsServer[],
    owned: AsyncDisposableStack,
  ) {
    this.#options = options;
    this.#owned = owned;
    this.issuer = issuer;
    this.#nats = nats;
    this.leaders = owned.use(new LeaderWatch(nats.map(({ url }) => url), options.now));
    this.#balancers = BALANCERS.map(() => owned.use(startTcpProxy(() => this.#chooseShield())));
  }

  /** Addresses for clients. */
  get urls(): readonly string[] {
    return this.#balancers.map(({ port }) => `ws://127.0.0.1:${port}`);
  }

  /** Starts every process. */
  async start(): Promise<void> {
    const { variant, shield_lines, dir, onSurprise } = this.#options;
    const drain = `drain_ms = ${variant.drain_ms}\n`;
    const nats = this.#nats.map(({ port }) => port);
    for (const name of PROCESSES) {
      const part = BRAINS.includes(name) ? "brain" as const : "shield" as const;
      const config = variant.presence + DURABLE_CONFIG +
        (part === "shield" ? this.issuer.config : "");
      const server_lines = part === "shield" ? drain + shield_lines : drain;
      const options = { name, part, config, server_lines, nats, dir, onSurprise };
      this.#nodes.set(name, this.#owned.use(new ServerNode(options)));
    }
    await Promise.all([...this.#nodes.values()].map((node) => node.start()));
  }

  /** Carries the faults out, each at its time; resolves when all is up again. */
  async suffer(faults: readonly Fault[]): Promise<void> {
    const began_ms = performance.now();
    for (const fault of faults) {
      await pause(began_ms + fault.at_ms - performance.now());
      const group = fault.target.startsWith(NATS) ? NATS : fault.target;
      const before = this.#busy.get(group) ?? Promise.resolve();
      const done = before.then(() => this.#perform(fault));
      // Whoever awaits it below still hears of a failure.
      done.catch(() => {});
      this.#busy.set(group, done);
    }
    await Promise.all(this.#busy.values());
  }

  /** Errors that no process caught, so far as its log still has them. */
  bugs(): string[] {
    return [...this.#nodes.values()].flatMap((node) =>
      node.bugs().map((line) => `${node.name} logged: ${line}`)
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [index, server] of this.#nats.entries()) {
      await Deno.writeTextFile(`${this.#options.dir}/${NATS}-${index}.log`, server.logTail());
    }
    await this.#owned.disposeAsync();
  }

  /** In turn, and stopped ones too: a balancer that makes no checks of its own. */
  #chooseShield(): number | undefined {
    const ports = SHIELDS.flatMap((name) => this.#nodes.get(name)?.client_port ?? []);
    return ports[this.#turn++ % ports.length];
  }

  async #perform(fault: Fault): Promise<void> {
    const { say, onFault } = this.#options;
    const { target, kind, away_ms } = fault;
    onFault(fault);
    say(`${kind} ${target} for ${(away_ms / 1_000).toFixed(1)} s`);
    const node = this.#nodes.get(target);
    if (node !== undefined) await this.#hurt(node, kind, away_ms);
    else if (target.startsWith(NATS)) await this.#hurtNats(target, kind, away_ms);
    else await this.#hurtBalancer(target, away_ms);
    say(`${target} is back`);
  }

  async #hurt(node: ServerNode, kind: Fault["kind"], away_ms: number): Promise<void> {
    switch (kind) {
      case "kill":
      case "restart":
        await node.end(kind === "kill" ? "SIGKILL" : "SIGTERM");
        await pause(away_ms);
        return await node.start();
      case "stop":
        node.signal("SIGSTOP");
        await pause(away_ms);
        return node.signal("SIGCONT");
      case "cut":
        await node.cut();
        await pause(away_ms);
        return node.restore();
    }
  }

  async #hurtNats(name: string, kind: Fault["kind"], away_ms: number): Promise<void> {
    const server = this.#nats[Number(name.slice(NATS.length + 1))];
    if (server === undefined) throw new TypeError(`there is no ${name}`);
    if (kind === "stop") {
      await server.freeze();
      await pause(away_ms);
      return server.resume();
    }
    if (kind === "kill") await server.kill();
    else await server.stop();
    await pause(away_ms);
    await server.start();
  }

  async #hurtBalancer(name: string, away_ms: number): Promise<void> {
    const balancer = this.#balancers[BALANCERS.indexOf(name)];
    await balancer?.cut();
    await pause(away_ms);
    balancer?.restore();
  }
}

/** Nodes reach the servers of the cluster through their own proxies only. */
async function startServers(
  servers: ServerCount,
  owned: AsyncDisposableStack,
): Promise<readonly NatsServer[]> {
  if (servers === 1) return [owned.use(await startNats({ jetstream: true }))];
  return owned.use(await startNatsCluster("", { silent: true })).members;
}

/** Starts NATS and every process. Rejects with a log when one is not ready. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  await using owned = new AsyncDisposableStack();
  const issuer = await createIssuer();
  owned.defer(() => Deno.remove(issuer.dir, { recursive: true }));
  const nats = await startServers(options.servers, owned);
  const fleet = new Fleet(options, issuer, nats, owned.move());
  try {
    await fleet.start();
    return fleet;
  } catch (error) {
    await fleet[Symbol.asyncDispose]();
    throw error;
  }
}
