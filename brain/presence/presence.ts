/**
 * Presence of one Brain, without its own Spine, clock or timers (`PresencePort`), so that a simulation can run it. This
 * file follows the ring's heartbeat and dispatches messages to the components: `replicas.ts` (the state of Shields),
 * `pulls.ts` (missing changes), `emitter.ts` (its rooms).
 */
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type {
  Beat,
  ClusterMessage,
  PresencePort,
  Pull,
  Pulled,
  Stay,
  StaysWritten,
} from "../../shared/presence/messages.ts";
import { deltaPages, MESSAGE_BYTES } from "../../shared/presence/pages.ts";
import {
  clockOf,
  countOnline,
  deltaSince,
  memberCount,
  ofConnection,
  online,
  onlineRooms,
} from "../../shared/presence/state.ts";
import type { Changes, PresenceState } from "../../shared/presence/state.ts";
import type { Entry, Writer, WriterState, WrittenEntry } from "../../shared/presence/types.ts";
import { Listeners } from "../../shared/containers/listeners.ts";
import { processSubject } from "../../shared/subjects/subject.ts";
import type {
  ClusterView,
  LeaveCause,
  LeaveReasons,
  MemberChange,
  MemberCount,
} from "../cluster_view.ts";
import type { ReportedStays, StaysView } from "../membership/kept_stays.ts";
import { RoomEmitter } from "./emitter.ts";
import { type BrainPresenceMetrics, type Refuse, showWriters } from "./metrics.ts";
import { PacedSender } from "../../shared/presence/paced_sender.ts";
import { Pulls } from "./pulls.ts";
import { Replicas } from "./replicas.ts";
import { byRoom, type RoomDelta } from "./room_changes.ts";
import { createRefusals } from "../ring/refusals.ts";
import type { Ring } from "../ring/ring.ts";

interface BrainPresenceMachineOptions extends Pick<Env, "log"> {
  readonly ring: Ring;
  readonly port: PresencePort;
  readonly config: Config["presence"];
  readonly metrics: BrainPresenceMetrics;
  /** `limits.member_meta_bytes`. Absent: its maximum. */
  readonly member_meta_bytes?: number;
  /** Longest message to send, in bytes. Absent: 512 KiB. */
  readonly message_bytes?: number;
}

/** A writer counts as fresh if it sent a message within this many heartbeats. */
const FRESH_HEARTBEATS = 2;
const META_BYTES_MAX = 65_536;
const FAILED = "a listener of presence failed";

/** The presence machine, which follows the ring. Synchronous; not to be used after `close`. */
export class BrainPresence implements ClusterView, StaysView {
  readonly brain_id: string;
  readonly refuse: Refuse;
  readonly #options: BrainPresenceMachineOptions;
  readonly #ring: Ring;
  readonly #sender: PacedSender;
  readonly #answer: (message: Pull) => void;
  readonly #replicas: Replicas;
  readonly #pulls: Pulls;
  readonly #emitter: RoomEmitter;
  readonly #members: Listeners<MemberChange>;
  readonly #stays: Listeners<ReportedStays>;
  readonly #stays_written: Listeners<StaysWritten>;
  #cancelCheck: (() => void) | undefined;

  constructor(options: BrainPresenceMachineOptions) {
    const { ring, port, config, metrics, log, message_bytes = MESSAGE_BYTES } = options;
    const { brain_id, boot } = ring;
    this.brain_id = brain_id;
    this.#options = options;
    this.#ring = ring;
    this.#members = new Listeners(log, FAILED);
    this.#stays = new Listeners(log, FAILED);
    this.#stays_written = new Listeners(log, FAILED);
    const refuse = this.refuse = createRefusals({ refused: metrics.refused, log, now: port.now });
    const sender = this.#sender = new PacedSender(port);
    this.#replicas = new Replicas({
      config,
      member_meta_bytes: options.member_meta_bytes ?? META_BYTES_MAX,
      boot,
      metrics,
      refuse,
      onChanges: (changes, cause, reasons) => this.#changed(changes, cause, reasons),
      onBehind: (writer) => this.#pulls.want(writer),
      onGone: (writer) => this.#pulls.drop(writer),
    });
    this.#pulls = new Pulls({
      brain_id,
      port,
      metrics,
      refuse,
      heartbeat_ms: config.heartbeat_ms,
      members_per_brain: config.members_per_brain,
      clockOf: (writer) => clockOf(this.#replicas.state, writer) ?? 0,
      brainWithMore: (writer, clock) => this.#brainWithMore(writer, clock),
      onAnswer: (full, delta, authority) =>
        this.#replicas.pulled(full, delta, authority, port.now()),
      onEnd: () => ring.check(),
    });
    this.#emitter = new RoomEmitter({
      brain_id,
      boot,
      port,
      metrics,
      refuse,
      sender,
      message_bytes,
      announce_ms: config.announce_ms,
      state: () => this.#replicas.state,
      owns: (tenant_id, room_id) => ring.owns(tenant_id, room_id),
    });
    this.#answer = (message) =>
      answerPull(message, { sender, message_bytes, metrics, refuse, state: this.#replicas.state });
    this.#emitter.reset(ring.term);
    ring.follow({
      statuses: () => this.#replicas.statuses(),
      knowsAll: () => this.#replicas.count().up === 0,
      isReading: () => this.#pulls.pending > 0,
      onBeat: (beat, now_ms) => this.#onBeat(beat, now_ms),
      onTick: (now_ms) => this.#tick(now_ms),
      onTerm: (gap_ms) => this.#onTerm(gap_ms),
      onBack: () => this.#pulls.restart(),
    });
  }

  /** Whether the Brain has read every writer known at its start, and is not draining. */
  get serving(): boolean {
    return this.#ring.state === "serving";
  }

  get brains(): readonly string[] {
    return this.#ring.brains;
  }

  get writers(): Readonly<Record<WriterState, number>> {
    return this.#replicas.count();
  }

  /** Handles a message from any subscribed subject. */
  receive(subject: string, message: ClusterMessage): void {
    const now_ms = this.#options.port.now();
    this.#ring.notice(now_ms);
    const token = subject.slice(subject.lastIndexOf(".") + 1);
    switch (message.kind) {
      case "announcement":
        return this.#replicas.announced(token, message, now_ms);
      // A hello to this Brain alone; the ring itself receives the others.
      case "beat":
      case "hello":
        return this.#ring.receive(subject, message);
      case "pulled":
        return this.#pulls.answered(message);
      case "pull":
        return this.#answer(message);
      // A Brain that has not read all Shields would omit members.
      case "room_pull":
        return this.#ring.state === "starting" ? undefined : this.#emitter.pull(message);
      case "room_check":
        return this.#ring.state === "starting" ? undefined : this.#emitter.check(message);
      case "room_update":
      case "room_snapshot":
      case "room_differs":
        return; // Only Shields handle these.
      case "stays_written":
        return this.#stays_written.emit(message);
      case "stays": {
        if (!this.serving) return;
        const is_shared = subject === processSubject("direct", this.brain_id);
        return this.#stays.emit({ ...message, node_id: is_shared ? undefined : token });
      }
      default:
        message satisfies never;
    }
  }

  close(): void {
    this.#cancelCheck?.();
    this.#emitter.close();
    this.#pulls.close();
    this.#sender.close();
  }

  ownerOf(tenant_id: string, room_id: string): string {
    return this.#ring.ownerOf(tenant_id, room_id);
  }

  suspect(brain_id: string): void {
    this.#ring.suspect(brain_id);
  }

  *members(tenant_id: string, room_id: string): Generator<Entry> {
    for (const { entry } of online(this.#replicas.state, tenant_id, room_id)) yield entry;
  }

  count(tenant_id: string, room_id: string): MemberCount {
    return countOnline(this.#replicas.state, tenant_id, room_id);
  }

  memberOf(tenant_id: string, room_id: string, connection_id: string): WrittenEntry | undefined {
    const here = ofConnection(this.#replicas.state, connection_id);
    return here.find(({ writer, entry }) =>
      entry.room_id === room_id && entry.tenant_id === tenant_id && this.#replicas.isUp(writer)
    );
  }

  readonly isUp = (writer: Writer): boolean => this.#replicas.isUp(writer);

  occupied(): Iterable<{ readonly tenant_id: string; readonly room_id: string }> {
    return onlineRooms(this.#replicas.state);
  }

  isFresh(): boolean {
    const { port, config } = this.#options;
    return this.serving && this.#ring.connected && this.#pulls.pending === 0 &&
      this.#replicas.isFresh(FRESH_HEARTBEATS * config.heartbeat_ms, port.now());
  }

  onMembers(listener: (change: MemberChange) => void): () => void {
    return this.#members.add(listener);
  }

  onOwnership(listener: (was_away: boolean) => void): () => void {
    return this.#ring.onOwnership(listener);
  }

  onStays(listener: (stays: ReportedStays) => void): () => void {
    return this.#stays.add(listener);
  }

  onStaysWritten(listener: (written: StaysWritten) => void): () => void {
    return this.#stays_written.add(listener);
  }

  confirmStays(node_id: string, written: Omit<StaysWritten, "kind">): void {
    const message = { kind: "stays_written" as const, ...written };
    this.#options.port.send(processSubject("direct", node_id), message);
    if (written.stays.length > 0) this.#tellBrains({ ...message, missed: [] });
  }

  shareStays(stays: readonly Stay[]): void {
    this.#tellBrains({ kind: "stays", stays, missed: [] });
  }

  #tellBrains(message: ClusterMessage): void {
    for (const other of this.brains) {
      if (other !== this.brain_id) {
        this.#options.port.send(processSubject("direct", other), message);
      }
    }
  }

  #tick(now_ms: number): void {
    this.#replicas.sweep(now_ms);
    this.#pullMissing(now_ms);
    this.#emitter.sweep(now_ms);
    this.#show();
  }

  #onTerm(gap_ms: number | undefined): void {
    const { term } = this.#ring;
    if (gap_ms === undefined) return this.#emitter.ownership(term);
    this.#replicas.forgive(gap_ms);
    this.#emitter.reset(term);
  }

  #onBeat(beat: Beat, now_ms: number): void {
    this.#replicas.reported(beat, now_ms);
    this.#checkSoon();
  }

  /** The serving Brain with the highest clock of a writer, if above `clock`. */
  #brainWithMore({ node_id, incarnation }: Writer, clock: number): string | undefined {
    let most = clock;
    let best: string | undefined;
    for (const brain_id of this.brains) {
      if (brain_id === this.brain_id) continue;
      const status = this.#ring.beatOf(brain_id)?.writers.find(({ writer }) =>
        writer.node_id === node_id && writer.incarnation === incarnation
      );
      if (status === undefined || status.state === "forgotten" || status.clock <= most) continue;
      most = status.clock;
      best = brain_id;
    }
    return best;
  }

  /** Waits briefly before pulling: another Brain may only have merged a little earlier. */
  #checkSoon(): void {
    const { port, config } = this.#options;
    this.#cancelCheck ??= port.after(config.announce_ms, () => {
      this.#cancelCheck = undefined;
      this.#pullMissing(port.now());
    });
  }

  #pullMissing(now_ms: number): void {
    if (!this.#ring.connected) return;
    for (const writer of this.#replicas.behind(now_ms)) this.#pulls.want(writer);
  }

  #changed(changes: Changes, cause: LeaveCause, reasons?: MemberChange["reasons"]): void {
    for (const room of byRoom(changes)) {
      this.#emitter.changed(room);
      if (this.#members.size > 0) this.#members.emit(memberChange(room, cause, reasons));
    }
  }

  #show(): void {
    const { metrics } = this.#options;
    showWriters(metrics, this.#replicas.count());
    metrics.members.set(memberCount(this.#replicas.state));
    metrics.rooms_emitted.set(this.#emitter.size);
    metrics.pulls_pending.set(this.#pulls.pending);
  }
}

function memberChange(
  room: RoomDelta,
  cause: LeaveCause,
  reasons?: LeaveReasons,
): MemberChange {
  const entries = (written: readonly WrittenEntry[]) => written.map(({ entry }) => entry);
  const { tenant_id, room_id, joins, leaves } = room;
  return {
    tenant_id,
    room_id,
    joins: entries(joins),
    leaves: entries(leaves),
    left: leaves,
    cause,
    reasons,
  };
}

interface AnswerOptions {
  readonly state: PresenceState;
  readonly sender: PacedSender;
  /** Longest message to send, in bytes. */
  readonly message_bytes: number;
  readonly metrics: BrainPresenceMetrics;
  readonly refuse: Refuse;
}

/** Sends the writer's known changes after that clock, in pages of one consistent snapshot. */
function answerPull({ from, request, writer, clock }: Pull, options: AnswerOptions): void {
  const { state, sender, message_bytes, metrics, refuse } = options;
  const found = deltaSince(state, writer, clock);
  const { full } = found ?? { full: false };
  const parts = found === undefined ? [undefined] : deltaPages(found.delta, message_bytes);
  const pages = parts.map((delta, page): Pulled => ({
    kind: "pulled",
    request,
    page,
    pages: parts.length,
    full,
    delta,
  }));
  if (!sender.send(processSubject("direct", from), pages)) {
    refuse("busy", { from, writer: writer.node_id });
    return;
  }
  metrics.pulls_served.inc({ kind: found === undefined ? "unknown" : full ? "full" : "delta" });
}
