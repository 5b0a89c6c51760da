/**
 * Presence on one Shield, assembled: changes of its own connections go to the cluster (`announcer.ts`) and into the
 * tables of watched rooms (`tables.ts`), which follow the cluster. A state machine that a simulation runs through the
 * same port as the process (`service.ts`). It is synchronous.
 */
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import { ArqonError } from "@arqon/proto";
import { BrainTable } from "../../shared/cluster/cluster.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { Beat, ClusterMessage, ShieldPort } from "../../shared/presence/messages.ts";
import type { MemberInput, Writer } from "../../shared/presence/types.ts";
import { HELLO, processSubject } from "../../shared/subjects/subject.ts";
import { Announcer, memberLimit } from "./announcer.ts";
import { type PresenceStats, refuse } from "./stats.ts";
import { Tables } from "./tables.ts";
import type { PresenceWatch, PresenceWatcher, RoomView } from "./watched_room.ts";

export type { PresenceWatch, PresenceWatcher, RoomChanges, RoomView } from "./watched_room.ts";

/** The dependencies and settings of `ShieldPresence`. */
export interface ShieldPresenceOptions extends Pick<Env, "log" | "node_id"> {
  /** The start of the process, in Unix ms. */
  readonly started_ms: number;
  /** The port, which must receive every `beat`, `direct` of this node and `HELLO`; its clock never goes back. */
  readonly port: ShieldPort;
  readonly config: Config["presence"];
  /**
   * The most members of a room, if the room has its own limit. Absent or undefined: only `members_per_room` applies.
   */
  readonly membersMax?: (tenant_id: string, room_id: string) => number | undefined;
  /** Whether the room has a journal of members; absent: none has. */
  readonly isJournaled?: (tenant_id: string, room_id: string) => boolean;
  readonly metrics: PresenceStats;
}

/** Presence on one Shield, which announces itself at once. */
export class ShieldPresence {
  readonly #options: ShieldPresenceOptions;
  readonly #brains: BrainTable;
  readonly #announcer: Announcer;
  readonly #tables: Tables;
  #cancelTick: () => void;
  /** Unix ms of the last tick. */
  #ticked_ms: number;
  /** The time since which nothing is received, in Unix ms. */
  #lost_ms: number | undefined;
  #draining = false;
  #closed = false;

  constructor(options: ShieldPresenceOptions) {
    const { node_id, port, config, metrics: stats } = options;
    this.#options = options;
    const brains = new BrainTable(config);
    this.#brains = brains;
    this.#announcer = new Announcer({
      ...options,
      stats,
      onLost: (entries) => {
        for (const entry of entries) {
          this.#tables.onOwn(entry.tenant_id, entry.room_id, [], [entry]);
        }
      },
    });
    this.#tables = new Tables({
      node_id,
      port,
      config,
      stats,
      brains,
      onSilent: (brain_id) => this.suspect(brain_id),
      ownMembers: (tenant_id, room_id) => this.#announcer.members(tenant_id, room_id),
    });
    this.#ticked_ms = port.now();
    // The random delay keeps Shields that start together from sending in lockstep.
    this.#cancelTick = port.after(port.random() * config.heartbeat_ms, () => this.#tick());
    this.#announcer.heartbeat();
    this.#hello();
  }

  /** The name and incarnation by which the cluster knows this process. */
  get writer(): Writer {
    return this.#announcer.writer;
  }

  /** Takes a message from the Spine. Never throws. */
  receive(subject: string, message: ClusterMessage): void {
    const { node_id, metrics } = this.#options;
    if (this.#closed) return;
    switch (message.kind) {
      case "beat":
        if (subject === processSubject("beat", message.brain_id)) return this.#onBeat(message);
        return refuse(metrics, "wrong-subject");
      case "hello":
        return message.from === node_id ? undefined : this.#announcer.onHello();
      case "room_update":
        return this.#tables.onUpdate(subject, message);
      case "pull":
      case "room_snapshot":
      case "room_differs":
      case "announcement":
      case "pulled":
      case "room_pull":
      case "room_check":
      case "stays":
      case "stays_written":
        if (subject === processSubject("direct", node_id)) return this.#receiveOwn(message);
        return refuse(metrics, "wrong-subject");
      default:
        message satisfies never;
    }
  }

  /** Takes a message on this Shield's own subject. */
  #receiveOwn(message: Exclude<ClusterMessage, { kind: "beat" | "hello" | "room_update" }>): void {
    switch (message.kind) {
      case "pull":
        return this.#announcer.onPull(message);
      case "room_snapshot":
        return this.#tables.onSnapshot(message);
      case "room_differs":
        return this.#tables.onDiffers(message);
      case "stays_written":
        return this.#announcer.unconfirmed.confirmed(message);
      case "stays":
      case "announcement":
      case "pulled":
      case "room_pull":
      case "room_check":
        // Messages of these kinds are for Brains.
        return refuse(this.#options.metrics, "unexpected-kind");
      default:
        message satisfies never;
    }
  }

  /**
   * Adds a connection to a room, or changes its metadata. Throws `member-limit`, or
   * `presence-unavailable` when this process stops.
   */
  join(member: MemberInput): void {
    this.#requireOpen();
    const { tenant_id, room_id } = member;
    const before = this.#tables.sameMember(member);
    const is_new = before === undefined && this.#announcer.entry(member) === undefined;
    if (is_new && !this.#announcer.isHeld(member)) {
      const { config: { members_per_room }, membersMax } = this.#options;
      const max = Math.min(membersMax?.(tenant_id, room_id) ?? members_per_room, members_per_room);
      if ((this.#tables.size(tenant_id, room_id) ?? 0) >= max) throw memberLimit("the room", max);
    }
    const { joined, left } = this.#announcer.join(member, before?.joined_ms);
    this.#tables.onOwn(tenant_id, room_id, joined, left);
  }

  /** Removes a connection from a room, or holds it if it was lost (not deliberate). Ignores an unknown connection. */
  leave(
    tenant_id: string,
    room_id: string,
    connection_id: string,
    deliberate: boolean,
    reason?: LeaveReason,
  ): void {
    const left = this.#announcer.leave({ tenant_id, room_id, connection_id }, deliberate, reason);
    this.#tables.onOwn(tenant_id, room_id, [], left);
  }

  /** Ends the grace times of a removed user, or connection, in a room, or with `EVERY_ROOM` in all of them. */
  endGrace(tenant_id: string, room_id: string, target: string): void {
    this.#announcer.in_grace.endOf(tenant_id, room_id, target);
  }

  /** Sends the queued changes, so that the answer to the next request includes them. */
  announce(): void {
    if (!this.#closed) this.#announcer.announce();
  }

  /** Watches a room. Throws as listening on the Spine throws. */
  watch(tenant_id: string, room_id: string, watcher: PresenceWatcher): PresenceWatch {
    this.#requireOpen();
    return this.#tables.watch(tenant_id, room_id, watcher);
  }

  /** The members of a watched room as currently known to this Shield. */
  view(tenant_id: string, room_id: string): RoomView | undefined {
    return this.#tables.view(tenant_id, room_id);
  }

  /** The serving Brains, as known to this Shield. */
  brains(): readonly string[] {
    return this.#brains.live();
  }

  /** Reports a Brain that does not answer: it counts as down until its next heartbeat. */
  suspect(brain_id: string): void {
    this.#onLive(this.#brains.suspect(brain_id));
  }

  /** Reports that nothing is received: until `spineBack`, no process is considered down for its silence. */
  spineLost(): void {
    this.#lost_ms ??= this.#options.port.now();
  }

  /** Messages are received again, or were missed: requests what has changed. */
  spineBack(): void {
    if (this.#closed) return;
    const now_ms = this.#options.port.now();
    if (this.#lost_ms !== undefined) this.#brains.forgive(now_ms - this.#lost_ms, now_ms);
    this.#lost_ms = undefined;
    this.#announcer.heartbeat();
    if (this.#draining) return;
    this.#hello();
    this.#tables.doubt();
    this.#tables.check();
  }

  /** Call it before this process stops: a connection that ends from now on may be moving to another Shield. */
  beginMove(): void {
    this.#announcer.beginMove();
  }

  /** Stops notifying clients and adding members; Brains give the members their grace time. */
  drain(): void {
    if (this.#draining || this.#closed) return;
    this.#draining = true;
    this.#announcer.leaveAll();
    this.#announcer.tellStays();
    this.#tables.close();
  }

  /** Ends everything. */
  close(): void {
    this.#closed = true;
    this.#cancelTick();
    this.#announcer.close();
    this.#tables.close();
  }

  /** Asks which Brains serve, as otherwise they would be known only after a heartbeat. */
  #hello(): void {
    const { node_id: from, port } = this.#options;
    port.send(HELLO, { kind: "hello", from });
  }

  #requireOpen(): void {
    if (!this.#draining && !this.#closed) return;
    throw new ArqonError("presence-unavailable", "this node stops", { retry_after_ms: 1_000 });
  }

  /** Runs all periodic work of a heartbeat, on one timer. */
  #tick(): void {
    const { port, config: { heartbeat_ms } } = this.#options;
    const now_ms = port.now();
    this.#cancelTick = port.after(heartbeat_ms, () => this.#tick());
    const late_ms = now_ms - this.#ticked_ms - heartbeat_ms;
    this.#ticked_ms = now_ms;
    // This process stalled, and messages of others are still unread.
    if (late_ms > 2 * heartbeat_ms) this.#brains.forgive(late_ms, now_ms);
    this.#announcer.heartbeat();
    if (this.#brains.live().length > 0) this.#announcer.tellStays();
    if (this.#draining || this.#lost_ms !== undefined) return;
    this.#onLive(this.#brains.sweep(now_ms));
    this.#tables.check();
  }

  #onBeat(beat: Beat): void {
    this.#onLive(this.#brains.onBeat(beat, this.#options.port.now()));
    this.#announcer.onBeat(beat);
  }

  #onLive(has_changed: boolean): void {
    if (!has_changed) return;
    this.#options.metrics.live_brains = this.#brains.live().length;
    this.#tables.onOwners();
  }
}
