/**
 * The cluster of a chaos run: three Brains and two Shields on one NATS server, each a process with a
 * proxy in front of NATS, and two load balancers in front of the Shields. It carries out faults; it
 * knows nothing of clients.
 */
import { createIssuer } from "../cluster.ts";
import type { Issuer } from "../cluster.ts";
import { startNats } from "../nats_server.ts";
import type { NatsServer } from "../nats_server.ts";
import { startTcpProxy } from "../tcp_proxy.ts";
import type { TcpProxy } from "../tcp_proxy.ts";
import { DURABLE_CONFIG } from "./durable_traffic.ts";
import type { Fault, Targets } from "./script.ts";
import { ServerNode } from "./server_node.ts";
import type { Variant } from "./variant.ts";

/** What a fleet reports to. */
export interface FleetOptions {
  readonly variant: Variant;
  /** Of `[server]` of the Shields. */
  readonly shield_lines: string;
  /** For logs; exists. */
  readonly dir: string;
  readonly say: (line: string) => void;
  /** Hears of a fault when it begins. */
  readonly onFault: (fault: Fault) => void;
  readonly onSurprise: (text: string) => void;
}

const BRAINS = ["brain-0", "brain-1", "brain-2"];
const SHIELDS = ["shield-0", "shield-1"];
const BALANCERS = ["balancer-0", "balancer-1"];
const NATS = "nats";

/** Whom a script may hurt. */
export const TARGETS: Targets = {
  processes: [...BRAINS, ...SHIELDS],
  shields: SHIELDS,
  nats: NATS,
  balancers: BALANCERS,
};

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Made by `startFleet`. */
export class Fleet implements AsyncDisposable {
  readonly issuer: Issuer;
  readonly #options: FleetOptions;
  readonly #owned: AsyncDisposableStack;
  readonly #nats: NatsServer;
  readonly #nodes = new Map<string, ServerNode>();
  readonly #balancers: readonly TcpProxy[];
  /** What goes on at each target: faults of one come after another. */
  readonly #busy = new Map<string, Promise<void>>();
  #turn = 0;

  constructor(
    options: FleetOptions,
    issuer: Issuer,
    nats: NatsServer,
    owned: AsyncDisposableStack,
  ) {
    this.#options = options;
    this.#owned = owned;
    this.issuer = issuer;
    this.#nats = nats;
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
    const nats = this.#nats.port;
    for (const name of TARGETS.processes) {
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
      const before = this.#busy.get(fault.target) ?? Promise.resolve();
      const done = before.then(() => this.#perform(fault));
      // Whoever awaits it below still hears of a failure.
      done.catch(() => {});
      this.#busy.set(fault.target, done);
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
    await Deno.writeTextFile(`${this.#options.dir}/nats.log`, this.#nats.logTail());
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
    else if (target === NATS) await this.#hurtNats(kind, away_ms);
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

  async #hurtNats(kind: Fault["kind"], away_ms: number): Promise<void> {
    if (kind === "stop") {
      await this.#nats.freeze();
      await pause(away_ms);
      return this.#nats.resume();
    }
    await this.#nats.kill();
    await pause(away_ms);
    await this.#nats.start();
  }

  async #hurtBalancer(name: string, away_ms: number): Promise<void> {
    const balancer = this.#balancers[BALANCERS.indexOf(name)];
    await balancer?.cut();
    await pause(away_ms);
    balancer?.restore();
  }
}

/** Starts NATS and every process. Rejects with a log when one is not ready. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  await using owned = new AsyncDisposableStack();
  const issuer = await createIssuer();
  owned.defer(() => Deno.remove(issuer.dir, { recursive: true }));
  const nats = owned.use(await startNats({ jetstream: true }));
  const fleet = new Fleet(options, issuer, nats, owned.move());
  try {
    await fleet.start();
    return fleet;
  } catch (error) {
    await fleet[Symbol.asyncDispose]();
    throw error;
  }
}
