/**
 * What a Brain knows of every Shield. Takes announcements, answers to pulls and what other Brains
 * say of writers; judges them; keeps the liveness of writers. What is missing it only reports
 * (`behind`); `pulls.ts` fetches it. Sends nothing.
 */
import { utf8Size } from "@arqon/proto";
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
import type { LeaveCause, LeaveReasons } from "../cluster_view.ts";
import { Departures } from "./departures.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { BrainPresenceMetrics } from "./metrics.ts";
import type { Refuse } from "./refusals.ts";

/** What the replicas need. */
interface ReplicasOptions {
  readonly config: Config["presence"];
  readonly member_meta_bytes: number;
  /** When this Brain started, Unix ms: older changes say nothing of how fast it converges. */
  readonly boot: number;
  readonly metrics: BrainPresenceMetrics;
  readonly refuse: Refuse;
  /** Called when members came or went, within the call that learnt of it. */
  readonly onChanges: (changes: Changes, cause: LeaveCause, reasons?: LeaveReasons) => void;
  /** Called when there is more of this writer than is here. */
  readonly onBehind: (writer: Writer) => void;
  /** Called when this life of a writer is down or forgotten: nothing of it is needed any longer. */
  readonly onGone: (writer: Writer) => void;
}

/** How far a writer is said to be, and from when on that can be had. */
interface Progress {
  readonly incarnation: number;
  /** The highest clock of the writer that was heard of. */
  wanted: number;
  /** Unix ms; before that the writer's changes are not asked for. */
  not_before_ms: number;
}

/** Shields that a Brain keeps; a beat, which names them all, stays within one message. */
const WRITERS_MAX = 4_096;
/** How many forgotten Shields a Brain remembers, the youngest ones. */
const TOMBSTONES_MAX = 1_024;
/** How long a forgotten Shield is remembered. */
const TOMBSTONE_MS = 86_400_000;
/** How far a writer's clock may be ahead of ours. */
const SKEW_MS = 86_400_000;
/** Heartbeats for which a writer whose delta was refused is not asked again. */
const REFUSED_HEARTBEATS = 4;

/** Whether a pulled answer could be used. */
export type PulledOutcome = "merged" | "stale" | "refused";

/** All writers that a Brain knows. Times are Unix ms. */
export class Replicas {
  readonly #options: ReplicasOptions;
  readonly #liveness: Liveness;
  readonly #departures = new Departures();
  /** Progress by node id, of the life that is known. */
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

  /** The state of presence, for reading within the turn. */
  get state(): PresenceState {
    return this.#state;
  }

  /** Takes what a Shield announced on the subject of `node_id`. */
  announced(node_id: string, { delta, leaving, reasons }: Announcement, now_ms: number): void {
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
      const result = this.#take(merge(this.#state, delta), delta, now_ms, reasons);
      if (result.outcome === "merged") metrics.deltas.inc({ source: "announced" });
      if (result.outcome === "refused") this.#postpone(writer, delta.end, now_ms);
      if (result.outcome === "gap") metrics.gaps.inc();
      if (!leaving && this.#isBehind(writer, now_ms)) this.#options.onBehind(writer);
    }
    if (leaving) this.#leave(writer, now_ms);
  }

  /**
   * Takes a complete answer to a pull. `authority`: it came from the writer itself, so that whoever
   * reported more was wrong.
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

  /** Takes what another Brain knows of writers. Only a writer's own word is a sign of its life. */
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
      if (this.#departures.has(writer)) return this.#departures.hasten(writer, now_ms);
      // It would be lost on a writer that we receive: that one will take a new incarnation.
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
    const lacks = (writer: Writer) => this.#lacks(writer);
    for (const writer of this.#departures.ripe(now_ms, this.#liveness, lacks)) {
      this.#end(writer, now_ms);
    }
    this.#apply(sweep(this.#liveness, now_ms), "given-up");
  }

  /** This process was itself away for `gap_ms`: nobody counts as silent for that time. */
  forgive(gap_ms: number): void {
    extend(this.#liveness, gap_ms);
    this.#departures.extend(gap_ms);
  }

  /** Whether exactly this life of the node is known and up. */
  isUp({ node_id, incarnation }: Writer): boolean {
    const life = this.#liveness.lives.get(node_id);
    return life?.state === "up" && life.writer.incarnation === incarnation;
  }

  /** The writers that are up and of which more is known to exist than is here. */
  *behind(now_ms: number): Generator<Writer> {
    for (const { writer } of this.#liveness.lives.values()) {
      if (this.#isBehind(writer, now_ms)) yield writer;
    }
  }

  /** Whether every writer that is up was heard of within `within_ms` and lacks nothing here. */
  isFresh(within_ms: number, now_ms: number): boolean {
    for (const { writer, state, last_seen_ms } of this.#liveness.lives.values()) {
      if (state !== "up") continue;
      if (now_ms - last_seen_ms > within_ms) return false;
      if (this.#lacks(writer)) return false;
    }
    return true;
  }

  /** The statuses that a beat carries: of every node the youngest life. */
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

  /** The number of Shields in each state. */
  count(): Readonly<Record<WriterState, number>> {
    const count = { up: 0, down: 0, forgotten: 0 };
    for (const { state } of this.statuses()) count[state] += 1;
    return count;
  }

  /** A Shield stops: its members stay while their clients may be on the way to another one. */
  #leave(writer: Writer, now_ms: number): void {
    const { move_grace_ms } = this.#options.config;
    if (move_grace_ms === 0) return this.#end(writer, now_ms);
    this.#departures.add(writer, now_ms + move_grace_ms);
    this.#options.onGone(writer);
  }

  /** Forgets a Shield that has stopped; those of its members that are left leave. */
  #end(writer: Writer, now_ms: number): void {
    this.#departures.delete(writer);
    depart(this.#liveness, writer, now_ms);
    this.#apply([{ writer, to: "down" }, { writer, to: "forgotten" }], "reported");
  }

  #clock(writer: Writer): number {
    return clockOf(this.#state, writer) ?? 0;
  }

  #lacks(writer: Writer): boolean {
    return (this.#progress.get(writer.node_id)?.wanted ?? 0) > this.#clock(writer);
  }

  #isBehind(writer: Writer, now_ms: number): boolean {
    const { not_before_ms = Infinity } = this.#progress.get(writer.node_id) ?? {};
    return now_ms >= not_before_ms && this.isUp(writer) && !this.#departures.has(writer) &&
      this.#lacks(writer);
  }

  /** Whether messages of this life may be taken. When they may, the life is taken in. */
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

  /** Notes a sign of life of a writer. False when this life has been forgotten. */
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
      if (meta.length * 3 <= limit || utf8Size(meta) <= limit) continue;
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

  /** Puts off the next question for a writer whose delta was refused: it would be refused again. */
  #postpone(writer: Writer, clock: number, now_ms: number): void {
    const life = this.#liveness.lives.get(writer.node_id);
    if (life?.writer.incarnation !== writer.incarnation) return;
    this.#want(writer, clock);
    const progress = this.#progress.get(writer.node_id);
    const wait_ms = REFUSED_HEARTBEATS * this.#options.config.heartbeat_ms;
    if (progress !== undefined) progress.not_before_ms = now_ms + wait_ms;
  }

  #take(result: MergeResult, { writer }: Delta, now_ms: number, why?: LeaveReasons): MergeResult {
    const { metrics, boot, refuse, onChanges } = this.#options;
    this.#state = result.state;
    if (result.outcome === "refused") {
      refuse("invalid-delta", { writer: writerKey(writer), fault: result.fault });
      return result;
    }
    for (const { entry } of result.joins) {
      if (entry.changed_ms >= boot) metrics.observeLag(now_ms - entry.changed_ms, now_ms);
    }
    if (result.joins.length > 0 || result.leaves.length > 0) onChanges(result, "reported", why);
    return result;
  }

  #apply(transitions: readonly Transition[], cause: LeaveCause): void {
    for (const { writer, to } of transitions) {
      // Its members have their time, whatever follows it under its name.
      if (to !== "up" && this.#departures.has(writer)) continue;
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
