/**
 * One Brain among the others: its beats, the beats of the others, who owns a room, and the term,
 * which grows whenever an owner may have changed. What this Brain knows of Shields only passes
 * through.
 */
import { BrainTable } from "../../shared/cluster/cluster.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { Beat, BrainState, PresencePort } from "../../shared/presence/messages.ts";
import type { Writer, WriterStatus } from "../../shared/presence/types.ts";
import { processSubject } from "../../shared/subjects/subject.ts";
import type { BrainPresenceMetrics } from "./metrics.ts";
import type { Refuse } from "./refusals.ts";

/** What a Brain's membership needs. */
export interface MembershipOptions extends Pick<Env, "log"> {
  readonly brain_id: string;
  /** When this Brain started, Unix ms. */
  readonly boot: number;
  readonly port: PresencePort;
  readonly config: Config["presence"];
  readonly metrics: BrainPresenceMetrics;
  readonly refuse: Refuse;
  /** What this Brain knows of writers, for its beats. */
  readonly statuses: () => readonly WriterStatus[];
  /** Called when the live Brains have changed, with the new term. */
  readonly onTerm: (term: number) => void;
}

/** The Brains, and this one's place among them. */
export class Membership {
  readonly #options: MembershipOptions;
  readonly #table: BrainTable;
  #state: BrainState = "starting";
  #term = 1;
  /** Another process with this Brain's id has started later: everybody listens to that one. */
  #replaced = false;
  /** Unix ms of the last beat. */
  #beat_ms = -Infinity;
  #cancelBeat: (() => void) | undefined;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#table = new BrainTable(options.config);
  }

  get state(): BrainState {
    return this.#state;
  }

  get term(): number {
    return this.#term;
  }

  /** The Brains that serve, in the order of their ids. */
  live(): readonly string[] {
    return this.#table.live();
  }

  /** Goes to the next state and tells the others at once. */
  become(state: BrainState): void {
    this.#state = state;
    this.beat();
  }

  /** Sends a beat with this Brain's state now. */
  beat(): void {
    const { brain_id, boot, port, statuses } = this.#options;
    const now_ms = port.now();
    this.#cancelBeat?.();
    this.#cancelBeat = undefined;
    this.#beat_ms = now_ms;
    const writers = statuses();
    const beat: Beat = { kind: "beat", brain_id, boot, state: this.#state, writers };
    // Its own beat counts whether or not the Spine brings it back.
    if (this.#table.onBeat(beat, now_ms)) this.#changed();
    port.send(processSubject("beat", brain_id), beat);
  }

  /** Sends a beat because somebody asked: many questions at once get one beat. */
  beatSoon(): void {
    const { port, config } = this.#options;
    if (this.#cancelBeat !== undefined) return;
    const since_ms = Math.abs(port.now() - this.#beat_ms);
    if (since_ms >= config.announce_ms) return this.beat();
    this.#cancelBeat = port.after(config.announce_ms - since_ms, () => this.beat());
  }

  /**
   * Takes another Brain's beat; `token` is the one of the subject on which it came. False when the
   * beat is refused.
   */
  heard(token: string, beat: Beat): boolean {
    const { brain_id, boot, port, refuse } = this.#options;
    if (beat.brain_id !== token) {
      return refuse("foreign-brain", { subject: token, brain: beat.brain_id });
    }
    if (beat.brain_id === brain_id) {
      if (beat.boot !== boot) this.#namesake(beat);
      return false;
    }
    if (this.#table.onBeat(beat, port.now())) this.#changed();
    return true;
  }

  /**
   * Two processes have this Brain's id: the younger one speaks, and every other process sees it so.
   */
  #namesake(beat: Beat): void {
    const { brain_id, boot, log, refuse } = this.#options;
    refuse("own-id", { brain: brain_id, boot: beat.boot });
    if (beat.boot < boot || this.#replaced) return;
    this.#replaced = true;
    log.error("another Brain with this id started: it takes over; [server] node_id must differ", {
      brain: brain_id,
    });
    this.#changed();
  }

  /** Counts a Brain as dead until its next beat. */
  suspect(brain_id: string): void {
    if (brain_id !== this.#options.brain_id && this.#table.suspect(brain_id)) this.#changed();
  }

  /** Drops Brains that have been silent for too long. */
  sweep(now_ms: number): void {
    if (this.#table.sweep(now_ms)) this.#changed();
  }

  /** This process was itself away for `gap_ms`: nobody counts as silent for that time. */
  forgive(gap_ms: number, now_ms: number): void {
    this.#table.forgive(gap_ms, now_ms);
  }

  /**
   * Begins a new term though no Brain came or went: others may have spoken for our rooms meanwhile.
   */
  renew(): number {
    this.#term += 1;
    this.#options.metrics.term.set(this.#term);
    return this.#term;
  }

  /** The room's owner; undefined when no Brain serves. */
  ownerOf(tenant_id: string, room_id: string): string | undefined {
    return this.#table.ownerOf(tenant_id, room_id);
  }

  /** Whether this Brain speaks for a room. */
  owns(tenant_id: string, room_id: string): boolean {
    return this.#state === "serving" && !this.#replaced &&
      this.#table.ownerOf(tenant_id, room_id) === this.#options.brain_id;
  }

  /** The serving Brain that has the most of a writer, if that is more than `clock`. */
  withMore({ node_id, incarnation }: Writer, clock: number): string | undefined {
    let most = clock;
    let best: string | undefined;
    for (const brain_id of this.#table.live()) {
      if (brain_id === this.#options.brain_id) continue;
      const status = this.#table.beatOf(brain_id)?.writers.find(({ writer }) =>
        writer.node_id === node_id && writer.incarnation === incarnation
      );
      if (status === undefined || status.state === "forgotten" || status.clock <= most) continue;
      most = status.clock;
      best = brain_id;
    }
    return best;
  }

  /** Stops the timer. */
  close(): void {
    this.#cancelBeat?.();
  }

  #changed(): void {
    const { metrics, onTerm } = this.#options;
    metrics.brains.set(this.#table.live().length);
    onTerm(this.renew());
  }
}
