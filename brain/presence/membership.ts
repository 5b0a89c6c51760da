/**
 * The membership of a Brain in the cluster: its beats, the beats of the others, the owners of rooms, and the term,
 * which increases whenever an owner may have changed. The statuses of Shields are only passed through.
 */
import { BrainTable } from "../../shared/cluster/cluster.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { Beat, BrainState, PresencePort } from "../../shared/presence/messages.ts";
import type { Writer, WriterStatus } from "../../shared/presence/types.ts";
import { processSubject } from "../../shared/subjects/subject.ts";
import type { BrainPresenceMetrics } from "./metrics.ts";
import type { Refuse } from "./refusals.ts";

interface MembershipOptions extends Pick<Env, "log"> {
  readonly brain_id: string;
  /** When this Brain started, Unix ms. */
  readonly boot: number;
  readonly port: PresencePort;
  readonly config: Config["presence"];
  readonly metrics: BrainPresenceMetrics;
  readonly refuse: Refuse;
  /** The known statuses of writers, for its beats. */
  readonly statuses: () => readonly WriterStatus[];
  /** Called when the live Brains have changed, with the new term. */
  readonly onTerm: (term: number) => void;
}

/** The Brains of the cluster, and this one's state. */
export class Membership {
  readonly #options: MembershipOptions;
  readonly #table: BrainTable;
  #state: BrainState = "starting";
  #term = 1;
  /** Another process with this Brain's id has started later, and replaces this one. */
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

  /** The serving Brains, in the order of their ids. */
  live(): readonly string[] {
    return this.#table.live();
  }

  /** Changes the state and sends a beat at once. */
  become(state: BrainState): void {
    this.#state = state;
    this.beat();
  }

  /** Sends a beat with this Brain's present state. */
  beat(): void {
    const { brain_id, boot, port, statuses } = this.#options;
    const now_ms = port.now();
    this.#cancelBeat?.();
    this.#cancelBeat = undefined;
    this.#beat_ms = now_ms;
    const writers = statuses();
    const beat: Beat = { kind: "beat", brain_id, boot, state: this.#state, writers };
    // Its own beat counts even if the Spine does not deliver it.
    if (this.#table.onBeat(beat, now_ms)) this.#changed();
    port.send(processSubject("beat", brain_id), beat);
  }

  /** Sends a beat on request: many concurrent requests get one beat. */
  beatSoon(): void {
    const { port, config } = this.#options;
    if (this.#cancelBeat !== undefined) return;
    const since_ms = Math.abs(port.now() - this.#beat_ms);
    if (since_ms >= config.announce_ms) return this.beat();
    this.#cancelBeat = port.after(config.announce_ms - since_ms, () => this.beat());
  }

  /** Handles another Brain's beat; `token` is that of the beat's subject. False if the beat is refused. */
  onBeat(token: string, beat: Beat): boolean {
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

  /** Two processes have this Brain's id: the younger one counts, for every other process as well. */
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

  sweep(now_ms: number): void {
    if (this.#table.sweep(now_ms)) this.#changed();
  }

  /** This process was stalled for `gap_ms`: no other Brain counts as silent for that time. */
  forgive(gap_ms: number, now_ms: number): void {
    this.#table.forgive(gap_ms, now_ms);
  }

  /** Begins a new term with the same Brains: others may have published for our rooms meanwhile. */
  renew(): number {
    this.#term += 1;
    this.#options.metrics.term.set(this.#term);
    return this.#term;
  }

  /** The room's owner; undefined without a serving Brain. */
  ownerOf(tenant_id: string, room_id: string): string | undefined {
    return this.#table.ownerOf(tenant_id, room_id);
  }

  /** Whether this Brain owns a room. */
  owns(tenant_id: string, room_id: string): boolean {
    return this.#state === "serving" && !this.#replaced &&
      this.#table.ownerOf(tenant_id, room_id) === this.#options.brain_id;
  }

  /** The serving Brain with the highest clock of a writer, if above `clock`. */
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

  close(): void {
    this.#cancelBeat?.();
  }

  #changed(): void {
    const { metrics, onTerm } = this.#options;
    metrics.brains.set(this.#table.live().length);
    onTerm(this.renew());
  }
}
