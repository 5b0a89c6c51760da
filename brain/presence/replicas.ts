/**
 * A Brain's replicas of every Shield's state. Validates and merges announcements, answers to pulls and other Brains'
 * statuses of writers; tracks the liveness of writers. It only reports missing changes (`behind`); `pulls.ts` fetches
 * them. Sends nothing.
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
import type {
  Delta,
  Writer,
  WriterKey,
  WriterState,
  WriterStatus,
} from "../../shared/presence/types.ts";
import type { LeaveCause, LeaveReasons } from "../cluster_view.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { BrainPresenceMetrics, Refuse } from "./metrics.ts";

interface ReplicasOptions {
  readonly config: Config["presence"];
  readonly member_meta_bytes: number;
  /** When this Brain started, Unix ms: older changes do not count for the lag. */
  readonly boot: number;
  readonly metrics: BrainPresenceMetrics;
  readonly refuse: Refuse;
  /** Called when members joined or left, synchronously in the call that merged it. */
  readonly onChanges: (changes: Changes, cause: LeaveCause, reasons?: LeaveReasons) => void;
  /** Called when changes of this writer are missing here. */
  readonly onBehind: (writer: Writer) => void;
  /** Called when this incarnation of a writer is down or forgotten: its changes are no longer needed. */
  readonly onGone: (writer: Writer) => void;
}

/** The reported clock of a writer, and when its changes may be requested. */
interface Progress {
  readonly incarnation: number;
  /** The highest reported clock of the writer. */
  wanted: number;
  /** Unix ms; before this time the writer's changes are not requested. */
  not_before_ms: number;
}

/** The most Shields that a Brain keeps: a beat, which lists them all, has to fit into one message. */
const WRITERS_MAX = 4_096;
/** The most tombstones of forgotten Shields; the newest are kept. */
const TOMBSTONES_MAX = 1_024;
/** Lifetime of a tombstone. */
const TOMBSTONE_MS = 86_400_000;
/** How far a writer's clock may be ahead of ours. */
const SKEW_MS = 86_400_000;
/** Heartbeats before a writer with a refused delta is asked again. */
const REFUSED_HEARTBEATS = 4;

/** The outcome of a pulled answer. */
export type PulledOutcome = "merged" | "stale" | "refused";

/** All writers that a Brain knows. Times are Unix ms. */
export class Replicas {
  readonly #options: ReplicasOptions;
  readonly #liveness: Liveness;
  readonly #departures = new Departures();
  /** Progress by node id, of the known incarnation. */
  readonly #progress = new Map<string, Progress>();
  readonly #state: PresenceState = createState();

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

  get state(): PresenceState {
    return this.#state;
  }

  /** Merges a Shield's announcement from the subject of `node_id`. */
  announced(node_id: string, { delta, leaving, reasons }: Announcement, now_ms: number): void {
    const { refuse, metrics } = this.#options;
    const { writer } = delta;
    if (writer.node_id !== node_id) {
      refuse("foreign-writer", { node: node_id, writer: writerKey(writer) });
      return;
    }
    // A stopping Shield repeats its announcement until it ends.
    if (leaving && isForgotten(this.#liveness, writer, now_ms)) return;
    if (!this.#admit(writer, now_ms)) return;
    if (!this.#checkMeta(delta)) return this.#postpone(writer, delta.end, now_ms);
    if (!this.#receive(writer, now_ms)) return;
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
   * Merges a complete answer to a pull. `authority`: it came from the writer itself, so that a report of a higher clock
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

  /** Merges another Brain's statuses of writers. Only a writer's own message is a sign of life. */
  reported({ brain_id, writers }: Beat, now_ms: number): void {
    for (const status of writers) this.#reportedOne(status, brain_id, now_ms);
  }

  #reportedOne({ writer, clock, state }: WriterStatus, brain_id: string, now_ms: number): void {
    // A writer that is down there and unknown here cannot be asked, and may never return.
    if (state === "down") return;
    if (writer.incarnation > now_ms + SKEW_MS) {
      this.#options.refuse("future-clock", { brain: brain_id, writer: writerKey(writer) });
      return;
    }
    const life = this.#liveness.lives.get(writer.node_id);
    const younger = life === undefined || writer.incarnation > life.writer.incarnation;
    if (state === "forgotten") {
      if (this.#departures.has(writer)) return this.#departures.hasten(writer, now_ms);
      // A status of a writer that this Brain still receives is ignored: that writer will take a new incarnation.
      const silent = !younger && life.writer.incarnation === writer.incarnation &&
        now_ms - life.last_seen_ms > 2 * this.#options.config.heartbeat_ms;
      if (younger || silent) {
        this.#apply(depart(this.#liveness, writer, now_ms), "given-up");
      }
      return;
    }
    if (younger) {
      if (isForgotten(this.#liveness, writer, now_ms)) return;
      if (!this.#admit(writer, now_ms) || !this.#receive(writer, now_ms)) return;
      this.#want(writer, clock);
      this.#options.onBehind(writer);
    } else if (life.writer.incarnation === writer.incarnation) {
      this.#want(writer, clock);
    }
  }

  /** Marks writers that missed their heartbeats as down, or forgets them. */
  sweep(now_ms: number): void {
    const lacks = (writer: Writer) => this.#lacks(writer);
    for (const writer of this.#departures.ripe(now_ms, this.#liveness, lacks)) {
      this.#end(writer, now_ms);
    }
    this.#apply(sweep(this.#liveness, now_ms), "given-up");
  }

  /** This process was stalled for `gap_ms`: no writer counts as silent for that time. */
  forgive(gap_ms: number): void {
    extend(this.#liveness, gap_ms);
    this.#departures.extend(gap_ms);
  }

  /** Whether exactly this incarnation of the node is known and up. */
  isUp({ node_id, incarnation }: Writer): boolean {
    const life = this.#liveness.lives.get(node_id);
    return life?.state === "up" && life.writer.incarnation === incarnation;
  }

  /** The writers that are up and have known missing changes. */
  *behind(now_ms: number): Generator<Writer> {
    for (const { writer } of this.#liveness.lives.values()) {
      if (this.#isBehind(writer, now_ms)) yield writer;
    }
  }

  /** Whether every writer that is up sent a message within `within_ms` and is completely merged. */
  isFresh(within_ms: number, now_ms: number): boolean {
    for (const { writer, state, last_seen_ms } of this.#liveness.lives.values()) {
      if (state !== "up") continue;
      if (now_ms - last_seen_ms > within_ms) return false;
      if (this.#lacks(writer)) return false;
    }
    return true;
  }

  /** The statuses for a beat: the youngest incarnation of every node. */
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

  count(): Readonly<Record<WriterState, number>> {
    const count = { up: 0, down: 0, forgotten: 0 };
    for (const { state } of this.statuses()) count[state] += 1;
    return count;
  }

  /** A Shield stops: its members stay while their clients may be reconnecting to another one. */
  #leave(writer: Writer, now_ms: number): void {
    const { move_grace_ms } = this.#options.config;
    if (move_grace_ms === 0) return this.#end(writer, now_ms);
    this.#departures.add(writer, now_ms + move_grace_ms);
    this.#options.onGone(writer);
  }

  /** Forgets a stopped Shield; its remaining members leave. */
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

  /** Whether messages of this incarnation are accepted; registers it if so. */
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

  /** Records a sign of life of a writer. False if this incarnation was forgotten. */
  #receive(writer: Writer, now_ms: number): boolean {
    const transitions = heartbeat(this.#liveness, writer, now_ms);
    if (transitions === undefined) {
      return this.#options.refuse("forgotten", { writer: writerKey(writer) });
    }
    this.#apply(transitions, "given-up");
    return true;
  }

  #checkMeta({ writer, entries }: Delta): boolean {
    const limit = this.#options.member_meta_bytes;
    for (const { meta, tenant_id, connection_id } of entries) {
      // A UTF-16 unit has at most three bytes: most metadata needs no counting.
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

  /** Delays the next request to a writer with a refused delta: it would be refused again. */
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
      // Its members keep their grace period, even if the node has a new incarnation.
      if (to !== "up" && this.#departures.has(writer)) continue;
      const mark = to === "up" ? markUp : to === "down" ? markDown : forget;
      const result = mark(this.#state, writer);
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

// Shields that have announced their stop. Their members stay for a grace period, so that a client that reconnects to
// another Shield does not leave.

interface Departure {
  readonly writer: Writer;
  /** Its members may be removed from then on; by the clock of the table's owner. */
  readonly until_ms: number;
}

/** The stopping Shields within their grace period. At most as many as there are Shields. */
class Departures {
  readonly #departing = new Map<WriterKey, Departure>();

  /** Starts the grace period of a Shield, unless it is running. */
  add(writer: Writer, until_ms: number): void {
    const key = writerKey(writer);
    if (!this.#departing.has(key)) this.#departing.set(key, { writer, until_ms });
  }

  /** Ends its grace period at `now_ms`, if not earlier. */
  hasten(writer: Writer, now_ms: number): void {
    const key = writerKey(writer);
    const until_ms = this.#departing.get(key)?.until_ms;
    if (until_ms !== undefined && until_ms > now_ms) {
      this.#departing.set(key, { writer, until_ms: now_ms });
    }
  }

  /** This process was stalled for `gap_ms`: extends all grace periods by that time. */
  extend(gap_ms: number): void {
    for (const [key, { writer, until_ms }] of this.#departing) {
      this.#departing.set(key, { writer, until_ms: until_ms + gap_ms });
    }
  }

  has(writer: Writer): boolean {
    return this.#departing.size > 0 && this.#departing.has(writerKey(writer));
  }

  delete(writer: Writer): void {
    this.#departing.delete(writerKey(writer));
  }

  /**
   * The Shields whose members can be removed: their grace period has expired, and every other Shield that is up has
   * sent a message since and has nothing unread (`lacks`), so that its new members are known. A silent Shield is
   * awaited until it is down, and an unread one for the same time.
   */
  ripe(now_ms: number, table: Liveness, lacks: (writer: Writer) => boolean): Writer[] {
    const { lives, options: { down_ms } } = table;
    const others = [...lives.values()].filter(({ state, writer }) =>
      state === "up" && !this.has(writer)
    );
    return [...this.#departing.values()].filter(({ until_ms }) =>
      until_ms <= now_ms && (now_ms >= until_ms + down_ms ||
        others.every(({ writer, last_seen_ms }) => last_seen_ms >= until_ms && !lacks(writer)))
    ).map(({ writer }) => writer);
  }
}
