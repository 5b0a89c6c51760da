/**
 * The ring of Brains as one of them sees it: which Brains are alive, which of them owns a room, and the term, which
 * increases whenever an owner may have changed. It has no Spine, clock or timers of its own (`RingPort`), so that a
 * simulation can run it. Synchronous; not to be used after `close`.
 */
import type { RingMessage, RingPort } from "../../shared/cluster/beat.ts";
import { BrainTable } from "../../shared/cluster/cluster.ts";
import type { Config } from "../../shared/config/schema.ts";
import { Listeners } from "../../shared/containers/listeners.ts";
import type { Env } from "../../shared/env.ts";
import { metricsOn, type Registry } from "../../shared/metrics/metrics.ts";
import type { Beat, BrainState, WriterStatus } from "../../shared/records/member.ts";
import { HELLO, processSubject } from "../../shared/subjects/subject.ts";
import type { RingView } from "../cluster_view.ts";
import { createRefusals, type Refuse } from "./refusals.ts";

/** A capability whose state the beats carry, and which reads it before this Brain serves. */
export interface RingFollower {
  /** The Shields that it knows, for this Brain's beats. */
  statuses(): readonly WriterStatus[];
  /** Whether it knows every Shield, so that no further hello is needed. */
  knowsAll(): boolean;
  /** Whether it is still reading what this Brain must know before it serves; then it calls `check`. */
  isReading(): boolean;
  /** Called with another Brain's beat. */
  onBeat(beat: Beat, now_ms: number): void;
  /** Called once a heartbeat while the Spine is connected. */
  onTick(now_ms: number): void;
  /** Called in a new term; `gap_ms`: this process was stalled, and others may have served its rooms. */
  onTerm(gap_ms: number | undefined): void;
  /** Called when the Spine is restored: messages may have been lost in both directions. */
  onBack(): void;
}

/** Why a message was refused. */
type RingRefusal =
  /** It is not a message, or has invalid values. */
  | "undecodable"
  /** It is the beat of another Brain than the one of its subject. */
  | "foreign-brain"
  /** It comes from another process with this Brain's id. */
  | "own-id";

/** Registers the metrics; once per registry. */
export function createRingMetrics(registry: Registry) {
  const { counter, gauge } = metricsOn(registry);
  return {
    brains: gauge("brain_cluster_brains", "Brains that serve, as this one sees it."),
    term: gauge("brain_cluster_term", "Grows whenever the serving Brains change."),
    refused: counter("brain_cluster_refused_total", "Beats that were not taken.", "reason"),
  };
}

/** The dependencies of the ring. */
export interface RingOptions extends Pick<Env, "log"> {
  readonly brain_id: string;
  /** When this Brain started, Unix ms; unique among the incarnations of this id. */
  readonly boot: number;
  readonly port: RingPort;
  readonly config: Config["presence"];
  readonly metrics: ReturnType<typeof createRingMetrics>;
  /** The hash of the room classes in force. */
  readonly classesHash: () => number;
  /**
   * The longest wait of a starting Brain for the answers of Shields and Brains. Absent: slightly more than a heartbeat;
   * in that time each of them beats even if it missed the hello.
   */
  readonly settle_ms?: number;
  /**
   * Calls `run` once all earlier messages, and the answers to them, are received. Absent: at once, because the wait
   * suffices.
   */
  readonly onceReceived?: (run: () => void) => void;
}

/** Number of hellos of a starting Brain: one may be lost. */
const HELLOS = 3;
/** A beat that is more than this many heartbeats late means that this process was stalled. */
const LATE_HEARTBEATS = 2;

const NOBODY: RingFollower = {
  statuses: () => [],
  knowsAll: () => true,
  isReading: () => false,
  onBeat() {},
  onTick() {},
  onTerm() {},
  onBack() {},
};

/** The Brains of the cluster, and this one's state. */
export class Ring implements RingView {
  readonly brain_id: string;
  readonly boot: number;
  readonly port: RingPort;
  readonly refuse: Refuse<RingRefusal>;
  readonly #options: RingOptions;
  readonly #settle_ms: number;
  readonly #onceReceived: (run: () => void) => void;
  readonly #table: BrainTable;
  readonly #ownership: Listeners<boolean>;
  readonly #served = Promise.withResolvers<void>();
  #follower = NOBODY;
  #state: BrainState = "starting";
  #term = 1;
  /** Another process with this Brain's id has started later, and replaces this one. */
  #replaced = false;
  /** Unix ms of the last beat. */
  #beat_ms = -Infinity;
  #cancelBeat: (() => void) | undefined;
  /** Unix ms of the last tick, or of the end of a stall; before the first tick nothing counts as a stall. */
  #ticked_ms = Infinity;
  #cancelTick = () => {};
  /** Unix ms when the Spine was lost; undefined while connected. */
  #lost_ms: number | undefined;
  #hellos = 0;
  /** Every process has answered, as far as can be known. */
  #is_settled = false;
  #cancelStart: (() => void)[] = [];

  constructor(options: RingOptions) {
    const { brain_id, boot, port, config, metrics: { refused }, log } = options;
    this.#options = options;
    this.brain_id = brain_id;
    this.boot = boot;
    this.port = port;
    this.#settle_ms = options.settle_ms ?? config.heartbeat_ms + config.announce_ms;
    this.#onceReceived = options.onceReceived ?? ((run) => run());
    this.refuse = createRefusals({ refused, log, now: port.now });
    this.#table = new BrainTable(config);
    this.#ownership = new Listeners(log, "a listener of the ring failed");
  }

  /** Shares the beats with a capability; call it before `serve`. */
  follow(follower: RingFollower): void {
    this.#follower = follower;
  }

  /**
   * Sends hellos, lets the follower read what all processes have, then begins to serve. Resolves when this Brain
   * serves; the first call begins.
   */
  serve(): Promise<void> {
    if (this.#hellos === 0) {
      this.#beat();
      const patience_ms = this.#settle_ms + this.#options.config.down_ms;
      // A stalled process may have unread messages.
      const serve = () => this.#onceReceived(this.#serve);
      this.#cancelStart.push(this.port.after(patience_ms, serve));
      this.#ask();
      this.#ticked_ms = this.port.now();
      this.#schedule();
    }
    return this.#served.promise;
  }

  /** Whether the Brain starts, serves or drains. */
  get state(): BrainState {
    return this.#state;
  }

  get term(): number {
    return this.#term;
  }

  get connected(): boolean {
    return this.#lost_ms === undefined;
  }

  get brains(): readonly string[] {
    return this.#table.live();
  }

  ownerOf(tenant_id: string, room_id: string): string {
    return this.#table.ownerOf(tenant_id, room_id) ?? this.brain_id;
  }

  /** Whether this Brain serves, and owns the room. */
  owns(tenant_id: string, room_id: string): boolean {
    return this.#state === "serving" && !this.#replaced &&
      this.#table.ownerOf(tenant_id, room_id) === this.brain_id;
  }

  suspect(brain_id: string): void {
    if (brain_id !== this.brain_id && this.#table.suspect(brain_id)) this.#changed();
  }

  onOwnership(listener: (was_away: boolean) => void): () => void {
    return this.#ownership.add(listener);
  }

  /** The last beat of a live Brain. */
  beatOf(brain_id: string): Beat | undefined {
    return this.#table.beatOf(brain_id);
  }

  /** The serving Brains whose configuration has other room classes: their rooms behave differently. */
  differing(): readonly string[] {
    return this.brains.filter((one) => this.#differs(one));
  }

  /**
   * Call it before handling any other message: detects whether this process was suspended or too busy. Then the silence
   * of others does not mean that they are down.
   */
  notice(now_ms: number): void {
    const gap_ms = now_ms - this.#ticked_ms;
    const late_ms = (LATE_HEARTBEATS + 1) * this.#options.config.heartbeat_ms;
    if (this.connected && gap_ms > late_ms) this.#wasAway(gap_ms, now_ms);
  }

  /** Handles a beat or a hello from any subscribed subject. */
  receive(subject: string, message: RingMessage): void {
    const now_ms = this.port.now();
    this.notice(now_ms);
    if (message.kind === "beat") this.#onBeat(subject, message, now_ms);
    else if (message.from !== this.brain_id) this.#beatSoon();
  }

  /** Call it when the follower has read: serves if nothing else is missing. */
  check(): void {
    if (this.#is_settled && !this.#follower.isReading()) this.#serve();
  }

  /** The Spine is lost: silence of others no longer means that they are down. */
  spineLost(): void {
    this.#lost_ms ??= this.port.now();
  }

  spineBack(): void {
    if (this.#lost_ms === undefined) return;
    const now_ms = this.port.now();
    const gap_ms = Math.max(0, now_ms - this.#lost_ms);
    this.#lost_ms = undefined;
    this.#wasAway(gap_ms, now_ms);
    this.#follower.onBack();
    this.#beat();
    this.#hello();
  }

  /** Announces that this Brain stops, so that others take over. It keeps answering until `close`. */
  drain(): void {
    if (this.#state !== "draining") this.#become("draining");
  }

  close(): void {
    this.#cancelTick();
    this.#cancelBeat?.();
    this.#endStart();
  }

  /** Changes the state and sends a beat at once. */
  #become(state: BrainState): void {
    this.#state = state;
    this.#beat();
  }

  #ask = (): void => {
    if (this.#state !== "starting") return;
    // A serving Brain has reported every Shield.
    const knows_all = this.brains.length > 0 || this.#follower.knowsAll();
    if (this.#hellos === HELLOS || (this.#hellos > 0 && knows_all)) {
      this.#is_settled = true;
      return this.check();
    }
    this.#hellos += 1;
    this.#hello();
    const wait_ms = this.#settle_ms / HELLOS;
    this.#cancelStart.push(this.port.after(wait_ms, () => this.#onceReceived(this.#ask)));
  };

  #serve = (): void => {
    if (this.#state !== "starting") return;
    this.#endStart();
    this.#become("serving");
    this.#served.resolve();
  };

  #endStart(): void {
    for (const cancel of this.#cancelStart.splice(0)) cancel();
  }

  #hello(): void {
    this.port.send(HELLO, { kind: "hello", from: this.brain_id });
  }

  #beat(): void {
    const { brain_id, boot, port } = this;
    const now_ms = port.now();
    this.#cancelBeat?.();
    this.#cancelBeat = undefined;
    this.#beat_ms = now_ms;
    const beat: Beat = {
      kind: "beat",
      brain_id,
      boot,
      state: this.#state,
      writers: this.#follower.statuses(),
      classes_hash: this.#options.classesHash(),
    };
    // Its own beat counts even if the Spine does not deliver it.
    if (this.#table.onBeat(beat, now_ms)) this.#changed();
    port.send(processSubject("beat", brain_id), beat);
  }

  /** Sends a beat on request: many concurrent requests get one beat. */
  #beatSoon(): void {
    const { port, config: { announce_ms } } = this.#options;
    if (this.#cancelBeat !== undefined) return;
    const since_ms = Math.abs(port.now() - this.#beat_ms);
    if (since_ms >= announce_ms) return this.#beat();
    this.#cancelBeat = port.after(announce_ms - since_ms, () => this.#beat());
  }

  #onBeat(subject: string, beat: Beat, now_ms: number): void {
    const { brain_id: brain, boot } = beat;
    const token = subject.slice(subject.lastIndexOf(".") + 1);
    if (brain !== token) {
      this.refuse("foreign-brain", { subject: token, brain });
    } else if (brain === this.brain_id) {
      if (boot !== this.boot) this.#namesake(boot);
    } else {
      const before = this.beatOf(brain)?.classes_hash;
      if (this.#table.onBeat(beat, now_ms)) this.#changed();
      if (this.beatOf(brain)?.classes_hash !== before && this.#differs(brain)) {
        this.#options.log.warn(
          "another Brain's configuration has other [[rooms]]: give all of them the same",
          { brain, brains: this.brains.length },
        );
      }
      this.#follower.onBeat(beat, now_ms);
    }
  }

  /** Two processes have this Brain's id: the younger one counts, for every other process as well. */
  #namesake(boot: number): void {
    const { brain_id: brain } = this;
    this.refuse("own-id", { brain, boot });
    if (boot < this.boot || this.#replaced) return;
    this.#replaced = true;
    this.#options.log.error(
      "another Brain with this id started: it takes over; [server] node_id must differ",
      { brain },
    );
    this.#changed();
  }

  #differs(brain_id: string): boolean {
    const own = this.#options.classesHash();
    return brain_id !== this.brain_id && (this.beatOf(brain_id)?.classes_hash ?? own) !== own;
  }

  #schedule(): void {
    this.#cancelTick = this.port.after(this.#options.config.heartbeat_ms, this.#tick);
  }

  #tick = (): void => {
    const now_ms = this.port.now();
    this.notice(now_ms);
    this.#ticked_ms = now_ms;
    this.#schedule();
    if (!this.connected) return;
    this.#beat();
    if (this.#table.sweep(now_ms)) this.#changed();
    this.#follower.onTick(now_ms);
  };

  #wasAway(gap_ms: number, now_ms: number): void {
    this.#ticked_ms = now_ms;
    this.#options.log.warn("this Brain was away: it begins a new term", { gap_ms });
    this.#table.forgive(gap_ms, now_ms);
    this.#begin(gap_ms);
  }

  #changed(): void {
    this.#options.metrics.brains.set(this.brains.length);
    this.#begin();
  }

  #begin(gap_ms?: number): void {
    this.#term += 1;
    this.#options.metrics.term.set(this.#term);
    this.#follower.onTerm(gap_ms);
    this.#ownership.emit(gap_ms !== undefined);
  }
}
