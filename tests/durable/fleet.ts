/**
 * The cluster of a durable run: three NATS servers, two Shields and a Brain that go to all of them, and
 * two load balancers in front of the Shields. It carries out faults; it knows nothing of clients.
 */
import type { Fault } from "../chaos/script.ts";
import { ServerNode } from "../chaos/server_node.ts";
import { createIssuer } from "../harness/cluster.ts";
import type { Issuer } from "../harness/cluster.ts";
import { startNatsCluster } from "../harness/nats_cluster.ts";
import type { NatsCluster } from "../harness/nats_cluster.ts";
import { startTcpProxy } from "../harness/tcp_proxy.ts";
import type { TcpProxy } from "../harness/tcp_proxy.ts";
import { Counters } from "./counters.ts";
import { NATS, SHIELDS } from "./script.ts";
import type { Variant } from "./variant.ts";

/** What a fleet reports to. */
export interface FleetOptions {
  readonly variant: Variant;
  /** For logs; exists. */
  readonly dir: string;
  readonly say: (line: string) => void;
  readonly onSurprise: (text: string) => void;
}

/** Rooms of this form are durable. */
export const ROOM_PREFIX = "log-";

const BRAIN = "brain-0";
const BALANCERS = 2;
const CONFIG = `
[[rooms]]
room = "${ROOM_PREFIX}*"
durable = true
replicas = 3
history_size = 100_000
history_ttl_seconds = 3_600
[limits]
messages_per_second = 100_000
bytes_per_second = 1_000_000_000
connections_per_user = 1_000
`;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Made by `startFleet`. */
export class Fleet implements AsyncDisposable {
  readonly issuer: Issuer;
  /** What the Shields count, over all of their lives. */
  readonly counters = new Counters();
  readonly #options: FleetOptions;
  readonly #owned: AsyncDisposableStack;
  readonly #nats: NatsCluster;
  readonly #nodes = new Map<string, ServerNode>();
  readonly #balancers: readonly TcpProxy[];
  /** What goes on in each group: faults of one come after another. */
  readonly #busy = new Map<string, Promise<void>>();
  #turn = 0;

  constructor(
    options: FleetOptions,
    issuer: Issuer,
    nats: NatsCluster,
    owned: AsyncDisposableStack,
  ) {
    this.#options = options;
    this.#owned = owned;
    this.issuer = issuer;
    this.#nats = nats;
    this.#balancers = Array.from(
      { length: BALANCERS },
      () => owned.use(startTcpProxy(() => this.#chooseShield())),
    );
  }

  /** `host:port` of each balancer, for WebSockets and HTTP. */
  get hosts(): readonly string[] {
    return this.#balancers.map(({ port }) => `127.0.0.1:${port}`);
  }

  /** Starts every process. */
  async start(): Promise<void> {
    const { variant, dir, onSurprise } = this.#options;
    const server_lines = `drain_ms = ${variant.drain_ms}\n`;
    for (const name of [BRAIN, ...SHIELDS]) {
      const part = name === BRAIN ? "brain" as const : "shield" as const;
      const config = CONFIG + (part === "shield" ? this.issuer.config : "");
      const nats = this.#nats.urls;
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
      const group = fault.target.split("-")[0] as string;
      const before = this.#busy.get(group) ?? Promise.resolve();
      const done = before.then(() => this.#perform(fault));
      // Whoever awaits it below still hears of a failure.
      done.catch(() => {});
      this.#busy.set(group, done);
    }
    await Promise.all(this.#busy.values());
  }

  /** Reads the counters of every Shield that answers. */
  async look(): Promise<void> {
    await Promise.all(SHIELDS.map(async (name) => {
      const url = this.#nodes.get(name)?.ops_url;
      if (url === undefined) return;
      try {
        const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(2_000) });
        this.counters.look(name, url, await response.text());
      } catch {
        // It is killed or stopped just now; the next look will find it.
      }
    }));
  }

  /** Errors that no process caught, so far as its log still has them. */
  bugs(): string[] {
    return [...this.#nodes.values()].flatMap((node) =>
      node.bugs().map((line) => `${node.name} logged: ${line}`)
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [index, server] of this.#nats.members.entries()) {
      await Deno.writeTextFile(`${this.#options.dir}/${NATS[index]}.log`, server.logTail());
    }
    await this.#owned.disposeAsync();
  }

  /** In turn, and stopped ones too: a balancer that makes no checks of its own. */
  #chooseShield(): number | undefined {
    const ports = SHIELDS.flatMap((name) => this.#nodes.get(name)?.client_port ?? []);
    return ports[this.#turn++ % ports.length];
  }

  async #perform({ target, kind, away_ms }: Fault): Promise<void> {
    const { say } = this.#options;
    say(`${kind} ${target} for ${(away_ms / 1_000).toFixed(1)} s`);
    const node = this.#nodes.get(target);
    if (node !== undefined) await this.#hurt(node, kind, away_ms);
    else await this.#hurtNats(NATS.findIndex((name) => name === target), kind, away_ms);
    say(`${target} is back`);
  }

  async #hurt(node: ServerNode, kind: Fault["kind"], away_ms: number): Promise<void> {
    if (kind === "stop") {
      node.signal("SIGSTOP");
      await pause(away_ms);
      return node.signal("SIGCONT");
    }
    await this.look();
    await node.end(kind === "kill" ? "SIGKILL" : "SIGTERM");
    await pause(away_ms);
    await node.start();
  }

  async #hurtNats(index: number, kind: Fault["kind"], away_ms: number): Promise<void> {
    const server = this.#nats.members[index];
    if (server === undefined) throw new TypeError(`there is no NATS server ${index}`);
    if (kind === "stop") {
      await server.freeze();
      await pause(away_ms);
      return server.resume();
    }
    await server.kill();
    await pause(away_ms);
    await server.start();
  }
}

/** Starts NATS and every process. Rejects with a log when one is not ready. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  await using owned = new AsyncDisposableStack();
  const issuer = await createIssuer();
  owned.defer(() => Deno.remove(issuer.dir, { recursive: true }));
  const nats = owned.use(await startNatsCluster());
  const fleet = new Fleet(options, issuer, nats, owned.move());
  try {
    await fleet.start();
    return fleet;
  } catch (error) {
    await fleet[Symbol.asyncDispose]();
    throw error;
  }
}
