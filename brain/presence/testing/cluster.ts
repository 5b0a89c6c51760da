/**
 * Brains and writers in virtual time, on a network that the test controls. Brains are the real machine, writers the
 * real presence set of a Shield behind a few lines that announce and answer. Tests only.
 */
import type { Config } from "../../../shared/config/schema.ts";
import { configFrom } from "../../../shared/config/load.ts";
import { keptLog } from "../../../shared/testing/logs.ts";
import { Registry } from "../../../shared/metrics/metrics.ts";
import type { ClusterMessage, PresencePort } from "../../../shared/presence/messages.ts";
import { processSubject } from "../../../shared/subjects/subject.ts";
import { createBrainPresenceMetrics } from "../metrics.ts";
import { createRingMetrics, Ring, type RingOptions } from "../../ring/ring.ts";
import { BrainPresence } from "../presence.ts";
import { TestShield } from "./shield.ts";

/** Where virtual time begins; Unix ms. */
export const START_MS = 1_750_000_000_000;
/** How long a message travels, in ms. */
const LATENCY_MS = 1;

/** A sent message, whether or not it arrived. */
export interface Sent {
  readonly at_ms: number;
  readonly from: string;
  readonly subject: string;
  readonly message: ClusterMessage;
}

interface Task {
  readonly due_ms: number;
  readonly order: number;
  readonly owner: string;
  readonly run: () => void;
}

/** A process of the cluster. */
export interface Peer {
  readonly id: string;
  subscribes(subject: string): boolean;
  receive(subject: string, message: ClusterMessage): void;
}

type TestBrainOptions =
  & Pick<RingOptions, "settle_ms">
  & Pick<
    ConstructorParameters<typeof BrainPresence>[0],
    "message_bytes" | "member_meta_bytes"
  >;

/** A Brain with everything that it logged and counted. */
export interface TestBrain extends Peer {
  readonly ring: Ring;
  readonly presence: BrainPresence;
  readonly registry: Registry;
  readonly lines: readonly string[];
  readonly port: PresencePort;
  /** The value of a counter or gauge; of all its labels when none are given. */
  metric(name: string, labels?: Record<string, string>): Promise<number>;
}

/** The `[presence]` table with its defaults, and these values. */
export function presenceConfig(table: Partial<Config["presence"]> = {}): Config["presence"] {
  return configFrom({ presence: table }).presence;
}

/** A small cluster in virtual time. */
export class TestCluster {
  readonly sent: Sent[] = [];
  readonly config: Config["presence"];
  /** True drops a message on its way to that receiver. */
  loses: (message: ClusterMessage, from: string, to: string) => boolean = () => false;
  #now_ms = START_MS;
  #tasks: Task[] = [];
  #order = 0;
  readonly #peers = new Map<string, Peer>();
  readonly #frozen = new Set<string>();

  constructor(table: Partial<Config["presence"]> = {}) {
    this.config = presenceConfig(table);
  }

  get now_ms(): number {
    return this.#now_ms;
  }

  /** The sent messages of one kind, in order. */
  of<Kind extends ClusterMessage["kind"]>(
    kind: Kind,
    from?: string,
  ): Extract<ClusterMessage, { kind: Kind }>[] {
    type Wanted = Extract<ClusterMessage, { kind: Kind }>;
    return this.sent
      .filter((sent) => sent.message.kind === kind && (from ?? sent.from) === sent.from)
      .map((sent) => sent.message as Wanted);
  }

  /** Runs everything that happens in the next `ms`. */
  run(ms: number): void {
    const end_ms = this.#now_ms + ms;
    for (;;) {
      let next: Task | undefined;
      for (const task of this.#tasks) {
        if (task.due_ms > end_ms || this.#frozen.has(task.owner)) continue;
        const sooner = next === undefined || task.due_ms < next.due_ms ||
          (task.due_ms === next.due_ms && task.order < next.order);
        if (sooner) next = task;
      }
      if (next === undefined) break;
      this.#tasks = this.#tasks.filter((task) => task !== next);
      this.#now_ms = Math.max(this.#now_ms, next.due_ms);
      next.run();
    }
    this.#now_ms = end_ms;
  }

  /** Runs until `met`; throws after `patience_ms` of virtual time. */
  until(met: () => boolean, what: string, patience_ms = 120_000): void {
    const end_ms = this.#now_ms + patience_ms;
    while (!met()) {
      if (this.#now_ms >= end_ms) throw new Error(`not within ${patience_ms} ms: ${what}`);
      this.run(10);
    }
  }

  port(id: string): PresencePort {
    let seed = 1;
    return {
      now: () => this.#now_ms,
      random: () => {
        seed = (seed * 48_271) % 2_147_483_647;
        return seed / 2_147_483_647;
      },
      after: (delay_ms, run) => this.#schedule(id, delay_ms, run),
      send: (subject, message) => {
        this.sent.push({ at_ms: this.#now_ms, from: id, subject, message });
        for (const peer of this.#peers.values()) {
          if (!peer.subscribes(subject) || this.loses(message, id, peer.id)) continue;
          this.#schedule(peer.id, LATENCY_MS, () => {
            if (this.#peers.get(peer.id) === peer) peer.receive(subject, message);
          });
        }
      },
    };
  }

  #schedule(owner: string, delay_ms: number, run: () => void): () => void {
    // The clock is a Unix clock: whole milliseconds.
    const task = { due_ms: this.#now_ms + Math.ceil(delay_ms), order: this.#order++, owner, run };
    this.#tasks.push(task);
    return () => {
      this.#tasks = this.#tasks.filter((other) => other !== task);
    };
  }

  join(peer: Peer): void {
    this.#peers.set(peer.id, peer);
  }

  /** A process dies: nothing more happens in it. */
  kill({ id }: Peer): void {
    this.#peers.delete(id);
    this.#tasks = this.#tasks.filter((task) => task.owner !== id);
  }

  /** As SIGSTOP: incoming messages and due timers wait. */
  freeze({ id }: Peer): void {
    this.#frozen.add(id);
  }

  /** As SIGCONT. */
  thaw({ id }: Peer): void {
    this.#frozen.delete(id);
  }

  /** A starting Brain; it serves a while later. */
  brain(id: string, more: TestBrainOptions = {}): TestBrain {
    const now = () => this.#now_ms;
    const { log, lines } = keptLog({ level: "info", now });
    const registry = new Registry();
    const metrics = createBrainPresenceMetrics(registry, () => this.#now_ms);
    const port = this.port(id);
    const { config } = this;
    const boot = this.#now_ms;
    const ring = new Ring({
      brain_id: id,
      boot,
      port,
      config,
      log,
      ...more,
      metrics: createRingMetrics(registry),
      classesHash: () => 1,
    });
    const presence = new BrainPresence({ ring, port, config, metrics, log, ...more });
    const direct = processSubject("direct", id);
    const brain: TestBrain = {
      id,
      ring,
      presence,
      registry,
      lines,
      port,
      subscribes: (subject) =>
        subject === direct || subject.startsWith("sys.presence.announce.") ||
        subject.startsWith("sys.cluster."),
      receive: (subject, message) => presence.receive(subject, message),
      metric: async (name, labels = {}) => {
        const metric = await registry.getSingleMetric(name)?.get();
        const wanted = Object.entries(labels);
        const values = metric?.values.filter(({ labels: own }) =>
          wanted.every(([label, value]) => own[label] === value)
        );
        return (values ?? []).reduce((sum, { value }) => sum + value, 0);
      },
    };
    this.join(brain);
    void ring.serve();
    return brain;
  }

  /** Brains that all serve. */
  brains(...ids: string[]): TestBrain[] {
    const brains = ids.map((id) => this.brain(id));
    this.until(
      () => brains.every(({ presence }) => presence.brains.length === ids.length),
      "all Brains serve",
    );
    return brains;
  }

  /** A Shield that announces itself at once and then every heartbeat. */
  shield(node_id: string, incarnation = this.#now_ms): TestShield {
    const shield = new TestShield(this, { node_id, incarnation });
    this.join(shield);
    shield.announce();
    return shield;
  }
}
