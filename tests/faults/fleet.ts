/**
 * A cluster for fault injection: NATS servers, Brains and Shields, each a process, and load balancers in front of the
 * Shields. It starts them, executes faults and keeps the logs; it has no clients and does not choose the faults: the
 * model's faults and scripts do.
 */
import { pace } from "../../shared/testing/pace.ts";
import { createIssuer, type Issuer } from "../harness/cluster.ts";
import { startNatsCluster } from "../harness/nats_cluster.ts";
import { type NatsServer, startNats } from "../harness/nats_server.ts";
import { startTcpProxy, type TcpProxy } from "../harness/tcp_proxy.ts";
import { type Blow, type Fault, type FaultKind, natsNames, type ServerCount } from "./fault.ts";
import { type NodeOptions, ServerNode } from "./server_node.ts";

/** The options of a fleet, and its listeners. */
export interface FleetOptions {
  /** Their names in scripts; those of NATS servers are `natsNames`. */
  readonly brains: readonly string[];
  readonly shields: readonly string[];
  readonly balancers: readonly string[];
  /** Number of NATS servers. */
  readonly servers: ServerCount;
  /** For a single NATS server without faults (`NatsOptions`). */
  readonly sync_interval?: string;
  /** Each process reaches NATS only through its own proxies, and so can be cut off. */
  readonly proxied: boolean;
  /** For every process, without `[server]` and `[nats]`; Shields also get the issuer. */
  readonly config: string;
  /** Lines of `[server]` for every process. */
  readonly server_lines: string;
  /** The client port of a process, and additional environment; absent: a free port, nothing. */
  readonly ownOf?: (name: string) => Pick<NodeOptions, "port" | "env">;
  /** For logs; must exist. */
  readonly dir: string;
  readonly say: (line: string) => void;
  /** Receives a fault before it begins; the fault waits for it. */
  readonly onFault?: (fault: Blow) => void | Promise<void>;
  readonly onSurprise: (text: string) => void;
}

/** The group of all NATS servers. */
const NATS = "nats";

/** Created by `open`; NATS is up then, `start` starts everything else. */
export class Fleet implements AsyncDisposable {
  readonly issuer: Issuer;
  readonly #options: FleetOptions;
  readonly #owned: AsyncDisposableStack;
  readonly #nats: ReadonlyMap<string, NatsServer>;
  readonly #nodes = new Map<string, ServerNode>();
  readonly #balancers: ReadonlyMap<string, TcpProxy>;
  /** The running fault of each group. */
  readonly #busy = new Map<string, Promise<void>>();
  #turn = 0;

  private constructor(
    options: FleetOptions,
    issuer: Issuer,
    nats: readonly NatsServer[],
    owned: AsyncDisposableStack,
  ) {
    this.#options = options;
    this.#owned = owned;
    this.issuer = issuer;
    const names = natsNames(options.servers);
    this.#nats = new Map(nats.map((server, index) => [names[index] as string, server]));
    this.#balancers = new Map(
      options.balancers.map((name) => [
        name,
        owned.use(startTcpProxy(() => this.#chooseShield())),
      ]),
    );
  }

  /** Starts NATS. */
  static async open(options: FleetOptions): Promise<Fleet> {
    await using owned = new AsyncDisposableStack();
    const issuer = owned.use(await createIssuer());
    const nats = options.servers === 1
      ? [owned.use(await startNats({ jetstream: true, sync_interval: options.sync_interval }))]
      : owned.use(await startNatsCluster("", { silent: options.proxied })).members;
    return new Fleet(options, issuer, nats, owned.move());
  }

  /** `host:port` of each balancer, for WebSockets and HTTP. */
  get hosts(): readonly string[] {
    return [...this.#balancers.values()].map(({ port }) => `127.0.0.1:${port}`);
  }

  /** The servers' own addresses, without a proxy. */
  get nats_urls(): readonly string[] {
    return [...this.#nats.values()].map(({ url }) => url);
  }

  /** Starts every process. Rejects with a log when one is not ready. */
  async start(): Promise<void> {
    const { brains, shields, config, proxied, dir, onSurprise } = this.#options;
    const nats = [...this.#nats.values()].map(({ port, url }) => proxied ? port : url);
    for (const name of [...brains, ...shields]) {
      const part = brains.includes(name) ? "brain" as const : "shield" as const;
      const own = part === "shield" ? config + this.issuer.config : config;
      const { server_lines } = this.#options;
      const options = { name, part, config: own, server_lines, nats, dir, onSurprise };
      const more = this.#options.ownOf?.(name) ?? {};
      this.#nodes.set(name, this.#owned.use(new ServerNode({ ...options, ...more })));
    }
    await Promise.all([...this.#nodes.values()].map((node) => node.start()));
  }

  /** The fields of a process's last ready line. */
  ready(name: string): Readonly<Record<string, string>> {
    return this.#nodes.get(name)?.ready ?? {};
  }

  /** The log of the running process. */
  log(name: string): string {
    return this.#nodes.get(name)?.log ?? "";
  }

  /** Base of a process's admin listener, undefined while it is down. */
  adminUrl(name: string): string | undefined {
    return this.#nodes.get(name)?.admin_url;
  }

  /** Executes the faults, each at its time; resolves when everything is up again. */
  async suffer(faults: readonly Fault[]): Promise<void> {
    const began_ms = performance.now();
    for (const fault of faults) {
      await pace(Math.max(0, began_ms + fault.at_ms - performance.now()));
      // Those of NATS happen one after another, so that most servers are up.
      const group = this.#nats.has(fault.target) ? NATS : fault.target;
      const before = this.#busy.get(group) ?? Promise.resolve();
      const done = before.then(() => this.hurt(fault));
      // The await below still receives a failure.
      done.catch(() => {});
      this.#busy.set(group, done);
    }
    await Promise.all(this.#busy.values());
  }

  /** Errors that no process caught, as far as its log still has them. */
  bugs(): string[] {
    return [...this.#nodes.values()].flatMap((node) =>
      node.bugs().map((line) => `${node.name} logged: ${line}`)
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [name, server] of this.#nats) {
      await Deno.writeTextFile(`${this.#options.dir}/${name}.log`, server.logTail());
    }
    await this.#owned.disposeAsync();
  }

  /** Round-robin, including stopped ones: a balancer that only checks whether a Shield was ready. */
  #chooseShield(): number | undefined {
    const nodes = this.#options.shields.flatMap((name) => this.#nodes.get(name) ?? []);
    const ports = nodes.filter((node) => node.is_open).flatMap((node) => node.client_port ?? []);
    return ports[this.#turn++ % ports.length];
  }

  /** Executes one fault; resolves when its target is up again. */
  async hurt(fault: Blow): Promise<void> {
    const { say, onFault } = this.#options;
    const { target, kind, away_ms } = fault;
    const node = this.#nodes.get(target);
    const server = this.#nats.get(target);
    const balancer = this.#balancers.get(target);
    await onFault?.(fault);
    say(`${kind} ${target} for ${(away_ms / 1_000).toFixed(1)} s`);
    if (node !== undefined) await hurtNode(node, kind, away_ms);
    else if (server !== undefined) await hurtServer(server, kind, away_ms);
    else if (balancer !== undefined) await cutOff(balancer, away_ms);
    else throw new TypeError(`there is no ${target}`);
    say(`${target} is back`);
  }
}

async function hurtNode(node: ServerNode, kind: FaultKind, away_ms: number): Promise<void> {
  switch (kind) {
    case "kill":
    case "restart":
      await node.end(kind === "kill" ? "SIGKILL" : "SIGTERM");
      await pace(away_ms);
      return await node.start();
    case "stop":
      node.signal("SIGSTOP");
      await pace(away_ms);
      return node.signal("SIGCONT");
    case "cut":
      return await cutOff(node, away_ms);
    default:
      return kind satisfies never;
  }
}

async function hurtServer(server: NatsServer, kind: FaultKind, away_ms: number): Promise<void> {
  if (kind === "stop") {
    await server.freeze();
    await pace(away_ms);
    return server.resume();
  }
  if (kind === "kill") await server.kill();
  else await server.stop();
  await pace(away_ms);
  await server.start();
}

async function cutOff(from: Pick<TcpProxy, "cut" | "restore">, away_ms: number): Promise<void> {
  await from.cut();
  await pace(away_ms);
  from.restore();
}
