/**
 * What a Brain has of every Shield: takes announcements, answers to pulls and what other Brains say
 * of writers, judges them, and keeps the liveness of writers. What is missing it only reports
 * (`behind`); `pulls.ts` gets it. Sends nothing.
 */
import type { Config } from "../../shared/config/schema.ts";
import {
  createLiveness,
  depart,
  extend,
  heartbeat,
  isForgotten,
  sweep,
} from "../../shared/presence/liveness.ts";
import type { Liveness, Transition } from "../../shared/presence/liveness.ts";
import type { Announcement, Beat } from "../../shared/presence/messages.ts";
import { utf8Bytes } from "../../shared/presence/pages.ts";
import {
  clockOf,
  createState,
  forget,
  markDown,
  markUp,
  memberCount,
  merge,
  mergeFull,
} from "../../shared/presence/state.ts";
import type { Changes, MergeResult, PresenceState } from "../../shared/presence/state.ts";
import { writerKey } from "../../shared/presence/types.ts";
import type { Delta, Writer, WriterState, WriterStatus } from "../../shared/presence/types.ts";
import type { LeaveCause } from "../cluster_view.ts";
import type { BrainPresenceMetrics } from "./metrics.ts";
import type { Refuse } from "./refusals.ts";

/** Shields that a Brain keeps; a beat, which names them all, stays within one message. */
export const WRITERS_MAX = 4_096;
/** Forgotten Shields that a Brain remembers, the youngest. */
export const TOMBSTONES_MAX = 1_024;
/** How long it remembers them. */
const TOMBSTONE_MS = 86_400_000;
/** How far a writer's clock may be ahead of ours. */
const SKEW_MS = 86_400_000;
/** Heartbeats for which a writer whose delta was refused is not asked again. */
const REFUSED_HEARTBEATS = 4;

/** What the replicas need. */
export interface ReplicasOptions {
  readonly config: Config["presence"];
  readonly member_meta_bytes: number;
  /** Unix ms of this Brain's start: older changes say nothing of how fast it converges. */
  readonly boot: number;
  readonly metrics: BrainPresenceMetrics;
  readonly refuse: Refuse;
  /** Members came or went. Called within the call that learnt of it. */
  readonly onChanges: (changes: Changes, cause: LeaveCause) => void;
  /** There is more of this writer than is here. */
  readonly onBehind: (writer: Writer) => void;
  /** This life of a writer is down or forgotten: nothing of it is needed any more. */
  readonly onGone: (writer: Writer) => void;
}

/** How far somebody says that a writer is, and when to believe that it can be had. */
interface Progress {
  readonly incarnation: number;
  /** The highest clock heard of. */
  wanted: number;
  /** Unix ms; before that its changes are not asked for. */
  not_before_ms: number;
}

/** Whether a pulled answer could be used. */
export type PulledOutcome = "merged" | "stale" | "refused";

/** All writers. Times are Unix ms. */
export class Replicas {
  readonly #options: ReplicasOptions;
  readonly #liveness: Liveness;
  /** By node id, of the life that is known. */
  readonly #progress = new Map<string, Progress>();
  #state: PresenceState = createState();

  constructor(options: ReplicasOptions) {
    this.#options = options;
    const { heartbeat_ms, down_ms, forget_ms } = options.config;
    this.#liveness = createLiveness({
      heartbeat_ms,
      down_ms,
      forget_ms,
      tombstone_ms: TOMBSTONE_MS,
      tombstones_max: TOMBSTONES_MAX,
    });
  }

  /** For reading, within the turn. */
  get state(): PresenceState {
    return this.#state;
  }

  /** What a Shield said on the subject of `node_id`. */
  announced(node_id: string, { delta, leaving }: Announcement, now_ms: number): void {
    const { refuse, metrics } = this.#options;
    const { writer } = delta;
    if (writer.node_id !== node_id) {
      refuse("foreign-writer", { node: node_id, writer: writerKey(writer) });
      return;
    }
    // A Shield that stops says so until it is gone.
    if (leaving && isForgotten(this.#liveness, writer, now_ms)) return;
    if (!this.#admit(writer, now_ms)) return;
    if (!this.#checkMeta(delta)) return this.#postpone(writer, delta.end, now_ms);
    if (!this.#hear(writer, now_ms)) return;
    this.#want(writer, delta.end);
    if (!this.#checkRoom(delta, delta.entries.length - delta.removed.length)) {
      this.#postpone(writer, delta.end, now_ms);
    } else {
      const result = this.#take(merge(this.#state, delta), delta, now_ms);
      if (result.outcome === "merged") metrics.deltas.inc({ source: "announced" });
      if (result.outcome === "refused") this.#postpone(writer, delta.end, now_ms);
      if (result.outcome === "gap") metrics.gaps.inc();
      if (!leaving && this.#isBehind(writer, now_ms)) this.#options.onBehind(writer);
    }
    if (leaving) this.#apply(depart(this.#liveness, writer, now_ms), "reported");
  }

  /**
   * An answer to a pull, complete. `authority`: from the writer itself, so that whoever told of more
   * was wrong.
   */
  pulled(full: boolean, delta: Delta, authority: boolean, now_ms: number): PulledOutcome {
    const { metrics } = this.#options;
    const { writer } = delta;
    if (!this.isUp(writer)) return "stale";
    const held = full ? this.#state.replicas.get(writerKey(writer))?.held.size ?? 0 : 0;
    const growth = delta.entries.length - delta.removed.length - held;
    if (!this.#checkMeta(delta) || !this.#checkRoom(delta, growth)) {
      this.#postpone(writer, delta.end, now_ms);
      return "refused";
    }
    const merged = full ? mergeFull(this.#state, delta) : merge(this.#state, delta);
    const { outcome } = this.#take(merged, delta, now_ms);
    if (outcome === "refused") {
      this.#postpone(writer, delta.end, now_ms);
      return "refused";
    }
    const progress = this.#progress.get(writer.node_id);
    if (authority && progress !== undefined) {
      progress.wanted = clockOf(this.#state, writer) ?? 0;
    }
    if (outcome !== "merged") return "stale";
    metrics.deltas.inc({ source: "pulled" });
    if (full) metrics.full_syncs.inc();
    return "merged";
  }

  /** What another Brain knows of writers. Only what a writer says itself is a sign of its life. */
  reported({ brain_id, writers }: Beat, now_ms: number): void {
    for (const status of writers) this.#reportedOne(status, brain_id, now_ms);
  }

  #reportedOne({ writer, clock, state }: WriterStatus, brain_id: string, now_ms: number): void {
    // A writer that is down there and unknown here cannot be asked; it may never come back.
    if (state === "down") return;
    if (writer.incarnation > now_ms + SKEW_MS) {
      this.#options.refuse("future-clock", { brain: brain_id, writer: writerKey(writer) });
      return;
    }
    const life = this.#liveness.lives.get(writer.node_id);
    const younger = life === undefined || writer.incarnation > life.writer.incarnation;
    if (state === "forgotten") {
      // It would be lost on a writer that we hear: that one will take a new incarnation.
      const silent = !younger && life.writer.incarnation === writer.incarnation &&
        now_ms - life.last_seen_ms > 2 * this.#options.config.heartbeat_ms;
      if (younger || silent) {
        this.#apply(depart(this.#liveness, writer, now_ms), "given-up");
      }
      return;
    }
    if (younger) {
      if (isForgotten(this.#liveness, writer, now_ms)) return;
      if (!this.#admit(writer, now_ms) || !this.#hear(writer, now_ms)) return;
      this.#want(writer, clock);
      this.#options.onBehind(writer);
    } else if (life.writer.incarnation === writer.incarnation) {
      this.#want(writer, clock);
    }
  }

  /** Gives up writers that have been silent for too long. */
  sweep(now_ms: number): void {
    this.#apply(sweep(this.#liveness, now_ms), "given-up");
  }

  /** This process itself was away for `gap_ms`: nobody else was silent in that time. */
  forgive(gap_ms: number): void {
    extend(this.#liveness, gap_ms);
  }

  /** The life of this node that is known, if it is up, is this one. */
  isUp({ node_id, incarnation }: Writer): boolean {
    const life = this.#liveness.lives.get(node_id);
    return life?.state === "up" && life.writer.incarnation === incarnation;
  }

  /** Writers that are up and of which more is known to exist than is here. */
  *behind(now_ms: number): Generator<Writer> {
    for (const { writer } of this.#liveness.lives.values()) {
      if (this.#isBehind(writer, now_ms)) yield writer;
    }
  }

  /** Every writer that is up has been heard of within `within_ms`, and nothing of it is missing. */
  isFresh(within_ms: number, now_ms: number): boolean {
    for (const { writer, state, last_seen_ms } of this.#liveness.lives.values()) {
      if (state !== "up") continue;
      if (now_ms - last_seen_ms > within_ms) return false;
      if ((this.#progress.get(writer.node_id)?.wanted ?? 0) > this.#clock(writer)) return false;
    }
    return true;
  }

  /** For the beat: of every node the youngest life. */
  statuses(): WriterStatus[] {
    const { lives, tombstones } = this.#liveness;
    const lines: WriterStatus[] = [];
    for (const { writer, state } of lives.values()) {
      lines.push({ writer, clock: this.#clock(writer), state });
    }
    for (const { writer } of tombstones.values()) {
      if (!lives.has(writer.node_id)) lines.push({ writer, clock: 0, state: "forgotten" });
    }
    return lines;
  }

  /** Shields by state. */
  count(): Readonly<Record<WriterState, number>> {
    const count = { up: 0, down: 0, forgotten: 0 };
    for (const { state } of this.statuses()) count[state] += 1;
    return count;
  }

  #clock(writer: Writer): number {
    return clockOf(this.#state, writer) ?? 0;
  }

  #isBehind(writer: Writer, now_ms: number): boolean {
    const progress = this.#progress.get(writer.node_id);
    return progress !== undefined && this.isUp(writer) && now_ms >= progress.not_before_ms &&
      progress.wanted > this.#clock(writer);
  }

  /** Whether this life may be taken in; nothing has changed when it may not. */
  #admit(writer: Writer, now_ms: number): boolean {
    const { refuse } = this.#options;
    const name = writerKey(writer);
    if (writer.incarnation > now_ms + SKEW_MS) return refuse("future-clock", { writer: name });
    const life = this.#liveness.lives.get(writer.node_id);
    if (life !== undefined && writer.incarnation < life.writer.incarnation) {
      return refuse("stale-incarnation", { writer: name, known: life.writer.incarnation });
    }
    if (life === undefined && this.#liveness.lives.size >= WRITERS_MAX) {
      return refuse("writer-limit", { writer: name, limit: WRITERS_MAX });
    }
    return true;
  }

  /** Notes a sign of life. False when this life has been forgotten. */
  #hear(writer: Writer, now_ms: number): boolean {
    const { accepted, transitions } = heartbeat(this.#liveness, writer, now_ms);
    if (!accepted) return this.#options.refuse("forgotten", { writer: writerKey(writer) });
    this.#apply(transitions, "given-up");
    return true;
  }

  #checkMeta({ writer, entries }: Delta): boolean {
    const limit = this.#options.member_meta_bytes;
    for (const { meta, tenant_id, connection_id } of entries) {
      // Three bytes a unit at most: most metadata needs no counting.
      if (meta.length * 3 <= limit || utf8Bytes(meta) <= limit) continue;
      return this.#options.refuse("meta-too-large", {
        writer: writerKey(writer),
        tenant_id,
        connection: connection_id,
        limit,
      });
    }
    return true;
  }

  #checkRoom({ writer }: Delta, growth: number): boolean {
    const limit = this.#options.config.members_per_brain;
    const members = memberCount(this.#state);
    if (growth <= 0 || members + growth <= limit) return true;
    return this.#options.refuse("member-limit", { writer: writerKey(writer), members, limit });
  }

  #want(writer: Writer, clock: number): void {
    const progress = this.#progress.get(writer.node_id);
    if (progress?.incarnation === writer.incarnation) {
      progress.wanted = Math.max(progress.wanted, clock);
    } else {
      const { incarnation } = writer;
      this.#progress.set(writer.node_id, { incarnation, wanted: clock, not_before_ms: 0 });
    }
  }

  /** What was refused once will be refused again: it is not asked for at once. */
  #postpone(writer: Writer, clock: number, now_ms: number): void {
    const life = this.#liveness.lives.get(writer.node_id);
    if (life?.writer.incarnation !== writer.incarnation) return;
    this.#want(writer, clock);
    const progress = this.#progress.get(writer.node_id);
    const wait_ms = REFUSED_HEARTBEATS * this.#options.config.heartbeat_ms;
    if (progress !== undefined) progress.not_before_ms = now_ms + wait_ms;
  }

  #take(result: MergeResult, { writer }: Delta, now_ms: number): MergeResult {
    const { metrics, boot, refuse, onChanges } = this.#options;
    this.#state = result.state;
    if (result.outcome === "refused") {
      refuse("invalid-delta", { writer: writerKey(writer), fault: result.fault });
      return result;
    }
    for (const { entry } of result.joins) {
      if (entry.changed_ms >= boot) metrics.observeLag(now_ms - entry.changed_ms, now_ms);
    }
    if (result.joins.length > 0 || result.leaves.length > 0) onChanges(result, "reported");
    return result;
  }

  #apply(transitions: readonly Transition[], cause: LeaveCause): void {
    for (const { writer, to } of transitions) {
      const mark = to === "up" ? markUp : to === "down" ? markDown : forget;
      const result = mark(this.#state, writer);
      this.#state = result.state;
      if (to === "forgotten") {
        const { incarnation } = writer;
        const known = this.#progress.get(writer.node_id);
        if (known?.incarnation === incarnation) this.#progress.delete(writer.node_id);
      }
      if (to !== "up") this.#options.onGone(writer);
      if (result.joins.length > 0 || result.leaves.length > 0) {
        this.#options.onChanges(result, cause);
      }
    }
  }
}
