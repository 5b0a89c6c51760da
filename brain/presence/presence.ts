/**
 * Presence of one Brain, without its own Spine, clock or timers (`PresencePort`), so that a simulation can run it. This
 * file decides when it serves, runs its heartbeat and dispatches messages to the components: `replicas.ts` (the state
 * of Shields), `pulls.ts` (missing changes), `membership.ts` (the Brains), `emitter.ts` (its rooms).
 */
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type {
  BrainState,
  ClusterMessage,
  PresencePort,
  Pull,
  Stay,
  StaysWritten,
} from "../../shared/presence/messages.ts";
import { MESSAGE_BYTES } from "../../shared/presence/pages.ts";
import {
  clockOf,
  countOnline,
  memberCount,
  ofConnection,
  online,
  onlineRooms,
} from "../../shared/presence/state.ts";
import type { Changes } from "../../shared/presence/state.ts";
import type { Entry, Writer, WriterState, WrittenEntry } from "../../shared/presence/types.ts";
import { Listeners } from "../../shared/containers/listeners.ts";
import { HELLO, processSubject } from "../../shared/subjects/subject.ts";
import type {
  ClusterView,
  LeaveCause,
  LeaveReasons,
  MemberChange,
  MemberCount,
} from "../cluster_view.ts";
import type { ReportedStays, StaysView } from "../membership/kept_stays.ts";
import { answerPull } from "./answers.ts";
import { RoomEmitter } from "./emitter.ts";
import { Membership } from "./membership.ts";
import { type BrainPresenceMetrics, showWriters } from "./metrics.ts";
import { PacedSender } from "../../shared/presence/paced_sender.ts";
import { Pulls } from "./pulls.ts";
import { Pulse } from "./pulse.ts";
import { createRefusals } from "./refusals.ts";
import { Replicas } from "./replicas.ts";
import { byRoom, type RoomDelta } from "./room_changes.ts";

/** The dependencies and options of the presence machine. */
export interface BrainPresenceMachineOptions extends Pick<Env, "log"> {
  readonly brain_id: string;
  /** When this Brain started, Unix ms; unique among the incarnations of this id. */
  readonly boot: number;
  readonly port: PresencePort;
  readonly config: Config["presence"];
  readonly metrics: BrainPresenceMetrics;
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
  /** `limits.member_meta_bytes`. Absent: its maximum. */
  readonly member_meta_bytes?: number;
  /** Longest message to send, in bytes. Absent: 512 KiB. */
  readonly message_bytes?: number;
}

/** A writer counts as fresh if it sent a message within this many heartbeats. */
const FRESH_HEARTBEATS = 2;
const META_BYTES_MAX = 65_536;
const FAILED = "a listener of presence failed";

/** The presence machine, not yet started. Synchronous; not to be used after `close`. */
export class BrainPresence implements ClusterView, StaysView {
  readonly brain_id: string;
  readonly #options: BrainPresenceMachineOptions;
  readonly #sender: PacedSender;
  readonly #answer: (message: Pull) => void;
  readonly #replicas: Replicas;
  readonly #pulls: Pulls;
  readonly #membership: Membership;
  readonly #emitter: RoomEmitter;
  readonly #members: Listeners<MemberChange>;
  readonly #ownership: Listeners<boolean>;
  readonly #stays: Listeners<ReportedStays>;
  readonly #stays_written: Listeners<StaysWritten>;
  readonly #served: Listeners<void>;
  readonly #pulse: Pulse;
  readonly #starting: Starting;
  #cancelCheck: (() => void) | undefined;

  constructor(options: BrainPresenceMachineOptions) {
    const { brain_id, boot, port, config, metrics, log, message_bytes = MESSAGE_BYTES } = options;
    this.brain_id = brain_id;
    this.#options = options;
    this.#members = new Listeners(log, FAILED);
    this.#ownership = new Listeners(log, FAILED);
    this.#stays = new Listeners(log, FAILED);
    this.#stays_written = new Listeners(log, FAILED);
    this.#served = new Listeners(log, FAILED);
    this.#pulse = new Pulse({
      ...{ port, heartbeat_ms: config.heartbeat_ms },
      onTick: (now_ms) => this.#tick(now_ms),
      onAway: (gap_ms, now_ms) => this.#wasAway(gap_ms, now_ms),
    });
    const { settle_ms = config.heartbeat_ms + config.announce_ms } = options;
    const { onceReceived = (run) => run() } = options;
    this.#starting = new Starting({
      ...{ port, settle_ms, onceReceived },
      patience_ms: settle_ms + config.down_ms,
      ask: () => this.#hello(),
      // A serving Brain has reported every Shield.
      knowsAll: () => this.brains.length > 0 || this.#replicas.count().up === 0,
      isReading: () => this.#pulls.pending > 0,
      serve: () => this.#serve(),
    });
    const refuse = createRefusals({ metrics, log, now: port.now });
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
    this.#membership = new Membership({
      ...{ brain_id, boot, port, config, metrics, log, refuse },
      statuses: () => this.#replicas.statuses(),
      onTerm: (term) => this.#termChanged(term),
    });
    this.#pulls = new Pulls({
      ...{ brain_id, port, metrics, refuse },
      heartbeat_ms: config.heartbeat_ms,
      members_per_brain: config.members_per_brain,
      clockOf: (writer) => clockOf(this.#replicas.state, writer) ?? 0,
      brainWithMore: (writer, clock) => this.#membership.withMore(writer, clock),
      onAnswer: (full, delta, authority) =>
        this.#replicas.pulled(full, delta, authority, port.now()),
      onEnd: () => this.#starting.check(),
    });
    this.#emitter = new RoomEmitter({
      ...{ brain_id, boot, port, metrics, refuse, sender, message_bytes },
      announce_ms: config.announce_ms,
      state: () => this.#replicas.state,
      owns: (tenant_id, room_id) => this.#membership.owns(tenant_id, room_id),
    });
    this.#answer = (message) =>
      answerPull(message, {
        ...{ sender, message_bytes, metrics, refuse },
        state: this.#replicas.state,
      });
  }

  /** Sends hellos, reads the state of all Shields, then begins to serve. */
  start(): void {
    this.#emitter.reset(this.#membership.term);
    this.#membership.beat();
    this.#starting.begin();
    this.#pulse.start();
  }

  /** Whether the Brain has read every writer known at its start, and is not draining. */
  get serving(): boolean {
    return this.#membership.state === "serving";
  }

  /** Whether the Brain starts, serves or drains. */
  get state(): BrainState {
    return this.#membership.state;
  }

  get brains(): readonly string[] {
    return this.#membership.live();
  }

  get writers(): Readonly<Record<WriterState, number>> {
    return this.#replicas.count();
  }

  /** Calls back once, when the Brain serves; at once if it already does. */
  onServing(listener: () => void): void {
    if (this.serving) listener();
    else this.#served.add(listener);
  }

  /** Handles a message from any subscribed subject. */
  receive(subject: string, message: ClusterMessage): void {
    const now_ms = this.#options.port.now();
    this.#pulse.notice(now_ms);
    const token = subject.slice(subject.lastIndexOf(".") + 1);
    switch (message.kind) {
      case "announcement":
        return this.#replicas.announced(token, message, now_ms);
      case "beat":
        if (!this.#membership.onBeat(token, message)) return;
        this.#replicas.reported(message, now_ms);
        return this.#checkSoon();
      case "hello":
        if (message.from !== this.brain_id) this.#membership.beatSoon();
        return;
      case "pulled":
        return this.#pulls.answered(message);
      case "pull":
        return this.#answer(message);
      // A Brain that has not read all Shields would omit members.
      case "room_pull":
        return this.state === "starting" ? undefined : this.#emitter.pull(message);
      case "room_check":
        return this.state === "starting" ? undefined : this.#emitter.check(message);
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

  /** The Spine is lost: silence of others no longer means that they are down. */
  spineLost(): void {
    this.#pulse.lost();
  }

  /** The Spine is restored: messages may have been lost in both directions. */
  spineBack(): void {
    if (!this.#pulse.back()) return;
    this.#pulls.restart();
    this.#membership.beat();
    this.#hello();
  }

  /** Announces that this Brain stops, so that others take over. It keeps answering until `close`. */
  drain(): void {
    if (this.state !== "draining") this.#membership.become("draining");
  }

  close(): void {
    this.#pulse.close();
    this.#starting.close();
    this.#cancelCheck?.();
    this.#membership.close();
    this.#emitter.close();
    this.#pulls.close();
    this.#sender.close();
  }

  ownerOf(tenant_id: string, room_id: string): string {
    return this.#membership.ownerOf(tenant_id, room_id) ?? this.brain_id;
  }

  suspect(brain_id: string): void {
    this.#membership.suspect(brain_id);
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
    return this.serving && this.#pulse.connected && this.#pulls.pending === 0 &&
      this.#replicas.isFresh(FRESH_HEARTBEATS * config.heartbeat_ms, port.now());
  }

  onMembers(listener: (change: MemberChange) => void): () => void {
    return this.#members.add(listener);
  }

  onOwnership(listener: (was_away: boolean) => void): () => void {
    return this.#ownership.add(listener);
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
    this.#membership.beat();
    this.#membership.sweep(now_ms);
    this.#replicas.sweep(now_ms);
    this.#pullMissing(now_ms);
    this.#emitter.sweep(now_ms);
    this.#show();
  }

  #wasAway(gap_ms: number, now_ms: number): void {
    this.#options.log.warn("this Brain was away: it begins a new term", { gap_ms });
    this.#replicas.forgive(gap_ms);
    this.#membership.forgive(gap_ms, now_ms);
    this.#emitter.reset(this.#membership.renew());
    this.#ownership.emit(true);
  }

  #hello(): void {
    this.#options.port.send(HELLO, { kind: "hello", from: this.brain_id });
  }

  #serve(): void {
    if (this.state !== "starting") return;
    this.#membership.become("serving");
    this.#served.emit();
    this.#served.clear();
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
    if (!this.#pulse.connected) return;
    for (const writer of this.#replicas.behind(now_ms)) this.#pulls.want(writer);
  }

  #termChanged(term: number): void {
    this.#emitter.ownership(term);
    this.#ownership.emit(false);
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

/** Number of hellos: one may be lost. */
const HELLOS = 3;

/** The dependencies of the start. Durations in ms. */
interface StartingOptions {
  readonly port: PresencePort;
  /** Within this time every process has answered. */
  readonly settle_ms: number;
  /** After this time the Brain serves even if a Shield cannot be read. */
  readonly patience_ms: number;
  readonly ask: () => void;
  /** Calls `run` once all earlier messages, and the answers to them, are received. */
  readonly onceReceived: (run: () => void) => void;
  /** Whether every process is already known, so that no wait is needed. */
  readonly knowsAll: () => boolean;
  /** Whether known changes are still to be read. */
  readonly isReading: () => boolean;
  /** Begins to serve; does nothing if the Brain already serves, or drains. */
  readonly serve: () => void;
}

/** The time from a Brain's start until it serves. */
class Starting {
  readonly #options: StartingOptions;
  #requests = 0;
  #settled = false;
  #closed = false;
  #cancelAsk = () => {};
  #cancelPatience = () => {};

  constructor(options: StartingOptions) {
    this.#options = options;
  }

  begin(): void {
    const { port, patience_ms, serve, onceReceived } = this.#options;
    // A stalled process may have unread messages.
    this.#cancelPatience = port.after(patience_ms, () => onceReceived(serve));
    this.#ask();
  }

  /** Call it when changes have been read. */
  check(): void {
    if (!this.#settled || this.#options.isReading()) return;
    this.close();
    this.#options.serve();
  }

  close(): void {
    this.#closed = true;
    this.#cancelAsk();
    this.#cancelPatience();
  }

  #ask = (): void => {
    const { port, settle_ms, ask, knowsAll, onceReceived } = this.#options;
    if (this.#closed) return;
    if (this.#requests === HELLOS || (this.#requests > 0 && knowsAll())) {
      this.#settled = true;
      this.check();
      return;
    }
    this.#requests += 1;
    ask();
    this.#cancelAsk = port.after(settle_ms / HELLOS, () => onceReceived(this.#ask));
  };
}

function memberChange(
  room: RoomDelta,
  cause: LeaveCause,
  reasons?: LeaveReasons,
): MemberChange {
  const entries = (written: readonly WrittenEntry[]) => written.map(({ entry }) => entry);
  const { tenant_id, room_id, joins, leaves } = room;
  return {
    ...{ tenant_id, room_id, joins: entries(joins), leaves: entries(leaves), left: leaves },
    ...{ cause, reasons },
  };
}
