/**
 * A simulated cluster: processes with real presence machines on a simulated network, and their faults. `clients.ts` has
 * the clients, `play.ts` maps actions to faults.
 */
import { createBrainPresenceMetrics } from "../../brain/presence/metrics.ts";
import { BrainPresence } from "../../brain/presence/presence.ts";
import { createRingMetrics, Ring } from "../../brain/ring/ring.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import type { ClusterMessage } from "../../shared/presence/messages.ts";
import { keptLog } from "../../shared/testing/logs.ts";
import { ShieldPresence } from "../../shield/presence/presence.ts";
import { createPresenceStats } from "../../shield/presence/stats.ts";
import { Hearing } from "./hearing.ts";
import { Life, type Resumption, type Surroundings } from "./life.ts";
import { Network, type Tamper } from "./network.ts";
import { createRandom, type Random } from "../../shared/testing/seeded.ts";
import { brainIds, type Schedule, shieldIds } from "./schedule.ts";
import { Timeline } from "./timeline.ts";
import { Truth } from "./truth.ts";
import { BrainFold } from "./viewer.ts";

// One registry for all worlds of a program: creating metrics for each process would cost more than its simulation.
const registry = new Registry();

/** Shared by all simulated Brains. */
const BRAIN_METRICS = createBrainPresenceMetrics(registry, () => 0);
/** Shared by the rings of all simulated Brains. */
const RING_METRICS = createRingMetrics(registry);
/** Shared by all simulated Shields. */
const SHIELD_STATS = createPresenceStats();

let write: (line: string) => void = () => {};

/** Shows the log lines of all machines from now on. */
export function showLog(to: (line: string) => void): void {
  write = to;
}

/** Silent unless `showLog` was called. */
const LOG = keptLog({ level: "warn", now: () => 0, write: (line) => write(line) }).log;

/** A running Shield. */
export interface ShieldProcess {
  readonly life: Life;
  readonly machine: ShieldPresence;
  /** It accepts no new connections. */
  draining: boolean;
}

/** A running Brain. */
export interface BrainProcess {
  readonly life: Life;
  readonly ring: Ring;
  readonly machine: BrainPresence;
  readonly fold: BrainFold;
}

/** Number of recorded violations; one is enough to fail. */
const VIOLATIONS = 10;

/** A cluster at a moment of simulated time. */
export class World {
  readonly timeline = new Timeline();
  readonly truth = new Truth();
  readonly hearing: Hearing;
  readonly network: Network;
  readonly shields = new Map<string, ShieldProcess>();
  readonly brains = new Map<string, BrainProcess>();
  readonly violations: string[] = [];
  /** Called with a Shield incarnation that has ended: its connections are closed. */
  onShieldGone: (life: Life) => void = () => {};
  /** The world's source of randomness. */
  readonly random: Random;
  readonly #surroundings: Surroundings;
  /** Shield → its highest incarnation that any Brain has received. */
  readonly #incarnations = new Map<string, number>();
  readonly #isBrain: ReadonlySet<string>;

  constructor(readonly schedule: Schedule, tamper?: Tamper) {
    const random = createRandom(schedule.seed);
    this.random = random.fork(1);
    this.hearing = new Hearing(schedule);
    this.#isBrain = new Set(brainIds(schedule));
    this.network = new Network({
      timeline: this.timeline,
      random: random.fork(2),
      wire: schedule.wire,
      frozen: schedule.frozen,
      tamper,
      deliver: (from, to, subject, message) => this.#deliver(from, to, subject, message),
    });
    this.#surroundings = {
      timeline: this.timeline,
      random: random.fork(3),
      send: (from, subject, message) => {
        this.#overhear(from, message);
        this.network.send(from, subject, message);
      },
      listen: (life, subject) => this.network.listen(life, subject),
      failed: (life, error) => {
        const text = error instanceof Error ? error.stack ?? error.message : String(error);
        this.violate(`${life.id} threw: ${text}`);
      },
    };
  }

  readonly now = () => this.timeline.now_ms;

  readonly violate = (text: string): void => {
    if (this.violations.length >= VIOLATIONS) return;
    this.violations.push(`${Math.round(this.timeline.now_ms)} ms: ${text}`);
  };

  /** All ids that a process may have. */
  ids(): string[] {
    return [...shieldIds(this.schedule), ...brainIds(this.schedule)];
  }

  lifeOf(id: string): Life | undefined {
    return (this.shields.get(id) ?? this.brains.get(id))?.life;
  }

  /** Starts the process unless it runs. */
  start(id: string, skew_ms: number): void {
    if (this.lifeOf(id) !== undefined) return;
    if (this.#isBrain.has(id)) this.#startBrain(id, skew_ms);
    else this.#startShield(id, skew_ms);
  }

  #startShield(id: string, skew_ms: number): void {
    const life = new Life(id, "shield", skew_ms, this.#surroundings);
    this.network.add(life);
    if (life.port.now() <= (this.#incarnations.get(id) ?? 0)) this.hearing.doubt(id);
    life.enter("call", () => {
      const machine = new ShieldPresence({
        node_id: id,
        started_ms: life.port.now(),
        port: life.port,
        config: this.schedule.config,
        metrics: SHIELD_STATS,
        log: LOG,
      });
      this.shields.set(id, { life, machine, draining: false });
    });
  }

  #startBrain(id: string, skew_ms: number): void {
    const life = new Life(id, "brain", skew_ms, this.#surroundings);
    this.network.add(life);
    this.hearing.brainStarted(id, shieldIds(this.schedule), this.now());
    life.enter("call", () => {
      const own = { port: life.port, config: this.schedule.config, log: LOG };
      const boot = life.port.now();
      const ring = new Ring({
        ...own,
        brain_id: id,
        boot,
        metrics: RING_METRICS,
        classesHash: () => 1,
      });
      const machine = new BrainPresence({ ...own, ring, metrics: BRAIN_METRICS });
      const fold = new BrainFold(id, this.violate);
      machine.onMembers((change) => fold.take(change));
      this.brains.set(id, { life, ring, machine, fold });
      void ring.serve();
    });
  }

  #deliver(from: Life, to: Life, subject: string, message: ClusterMessage): void {
    if (to.part === "shield") {
      const shield = this.shields.get(to.id);
      if (shield?.life === to) shield.machine.receive(subject, message);
      return;
    }
    const brain = this.brains.get(to.id);
    if (brain?.life !== to) return;
    brain.machine.receive(subject, message);
    if (message.kind !== "announcement") return;
    if (!from.alive) return;
    this.hearing.announced(to.id, from.id, this.now());
    this.#follow(from.id, message.delta.writer.incarnation);
  }

  /** Records a process's announcements, whether or not they arrive. */
  #overhear(from: Life, message: ClusterMessage): void {
    if (message.kind === "announcement") {
      const { writer, end } = message.delta;
      this.hearing.says(from.id, writer.incarnation, end, this.now());
    } else if (message.kind === "beat") {
      this.hearing.beats(from.id, message.writers, this.now());
    }
  }

  /** Whether a Shield that starts with its clock set back has been corrected. */
  #follow(id: string, incarnation: number): void {
    const highest = this.#incarnations.get(id);
    if (highest !== undefined && incarnation <= highest) return;
    this.#incarnations.set(id, incarnation);
    this.hearing.trust(id, this.now());
  }

  /** Sets the process's clock. */
  setClock(id: string, by_ms: number): void {
    const life = this.lifeOf(id);
    if (life === undefined) return;
    life.skew_ms += by_ms;
  }

  /** SIGKILL. */
  kill(id: string): void {
    const life = this.lifeOf(id);
    if (life === undefined) return;
    life.die();
    if (life.part === "brain") this.hearing.brainEnded(id, this.now());
    this.network.remove(life);
    this.brains.delete(id);
    if (this.shields.delete(id)) {
      this.truth.deleteLife(life);
      this.onShieldGone(life);
    }
  }

  /** SIGTERM: it says goodbye, exits a moment later, and restarts `for_ms` (if not 0) later. */
  restart(id: string, for_ms: number, onDrain: (life: Life) => void): void {
    const life = this.lifeOf(id);
    if (life === undefined) return;
    life.enter("call", () => {
      const shield = this.shields.get(id);
      if (shield !== undefined) shield.draining = true;
      onDrain(life);
      this.#spineOf(life)?.drain();
      this.truth.deleteLife(life);
    });
    this.timeline.after(this.schedule.config.announce_ms + 20, () => {
      if (!life.alive) return;
      life.enter("call", () => {
        this.#spineOf(life)?.close();
        this.brains.get(id)?.machine.close();
      });
      this.kill(id);
      if (for_ms > 0) this.timeline.after(for_ms, () => this.start(id, life.skew_ms));
    });
  }

  pause(id: string, for_ms: number): void {
    const life = this.lifeOf(id);
    if (life === undefined || life.paused_ms !== undefined) return;
    life.pause();
    this.timeline.after(for_ms, () => this.resume(life));
  }

  /** SIGCONT, if it is paused. */
  resume(life: Life): void {
    const { paused_ms } = life;
    if (!life.alive || paused_ms === undefined) return;
    const how = this.random.pick<Resumption>(["timers_first", "in_order", "messages_lost"]);
    this.hearing.stood(life.id, this.now() - paused_ms, this.now());
    this.hearing.disturbed(life.id, this.now());
    life.resume(how);
    // Servers disconnect clients that do not read for long; the client library then reports it.
    if (how !== "messages_lost" || !this.random.chance(0.5)) return;
    life.enter("call", () => this.#spineOf(life)?.spineLost());
    life.enter("call", () => this.#spineOf(life)?.spineBack());
  }

  /** The machine of that process that knows its Spine, and its end. */
  #spineOf(life: Life): ShieldPresence | Ring | undefined {
    const shield = this.shields.get(life.id);
    const brain = this.brains.get(life.id);
    if (shield?.life === life) return shield.machine;
    return brain?.life === life ? brain.ring : undefined;
  }

  /** No messages to and from a process for a while; after `noticed_ms` it knows it. */
  detach(id: string, for_ms: number, noticed_ms: number): void {
    const life = this.lifeOf(id);
    if (life === undefined) return;
    this.isolate(id, for_ms);
    if (noticed_ms >= for_ms) return;
    this.timeline.after(noticed_ms, () => this.#lose(life, for_ms - noticed_ms));
  }

  #lose(life: Life, for_ms: number): void {
    if (!life.alive || life.offline) return;
    life.offline = true;
    const since_ms = this.now();
    const stood_ms = life.stoodMs();
    life.enter("call", () => this.#spineOf(life)?.spineLost());
    this.timeline.after(for_ms, () => {
      const offline_ms = this.now() - since_ms - (life.stoodMs() - stood_ms);
      this.attach(life, offline_ms);
    });
  }

  /** The Spine is connected again; it was disconnected while the process was awake for `offline_ms`. */
  attach(life: Life, offline_ms: number): void {
    life.offline = false;
    this.hearing.offline(life.id, offline_ms, this.now());
    this.hearing.disturbed(life.id, this.now());
    life.enter("call", () => this.#spineOf(life)?.spineBack());
  }

  /** No messages to and from a process for a while. */
  isolate(id: string, for_ms: number): void {
    for (const other of this.ids()) this.cut(id, other, other !== id, for_ms);
  }

  /** No messages from one to the other, or between them, for a while. */
  cut(one: string, other: string, both: boolean, for_ms: number): void {
    const block = (count: 1 | -1) => {
      this.network.block(one, other, count);
      if (both) this.network.block(other, one, count);
    };
    block(1);
    this.timeline.after(for_ms, () => block(-1));
  }
}
