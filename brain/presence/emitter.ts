/**
 * Publishes the presence of the rooms that this Brain owns: their changes, a room's whole list on request, and the
 * rooms in which a Shield is behind. It is notified of owners and members.
 */
import type {
  Emitter,
  PresencePort,
  RoomCheck,
  RoomPosition,
  RoomPull,
  RoomSnapshot,
} from "../../shared/presence/messages.ts";
import { cutPages, entryBytes, tagBytes } from "../../shared/presence/pages.ts";
import { allClocks, clockOf, online, type PresenceState } from "../../shared/presence/state.ts";
import { writerKey, type WrittenEntry } from "../../shared/presence/types.ts";
import { presenceSubject, processSubject } from "../../shared/subjects/subject.ts";
import type { BrainPresenceMetrics, Refuse } from "./metrics.ts";
import type { PacedSender } from "../../shared/presence/paced_sender.ts";
import { type RoomDelta, roomKey } from "./room_changes.ts";

interface RoomEmitterOptions {
  readonly brain_id: string;
  /** When this Brain started, Unix ms. */
  readonly boot: number;
  readonly port: PresencePort;
  readonly announce_ms: number;
  /** Longest message to send, in bytes. */
  readonly message_bytes: number;
  readonly metrics: BrainPresenceMetrics;
  readonly refuse: Refuse;
  readonly sender: PacedSender;
  readonly state: () => PresenceState;
  /** Whether this Brain publishes for a room now. */
  readonly owns: (tenant_id: string, room_id: string) => boolean;
}

interface RoomEmission {
  readonly tenant_id: string;
  readonly room_id: string;
  /** The Brain's life, and the term in which it began to publish for the room. */
  readonly emitter: Emitter;
  sequence: number;
  /** Unix ms of the last update. */
  sent_ms: number;
  /** Unix ms of the last change or request. */
  touched_ms: number;
  pending: Pending | undefined;
}

/** A room without a change or a request is dropped after this time. */
export const IDLE_MS = 600_000;
/** Interval between checks for such rooms. */
const SWEEP_MS = 60_000;
/** Bytes of an update or a snapshot besides its entries: ids of tenant and room, emitter, numbers. */
const OVERHEAD_BYTES = 512;

function stepBytes({ leave, join }: Step): number {
  return (leave === undefined ? 0 : tagBytes(leave.writer)) +
    (join === undefined ? 0 : writtenBytes(join));
}

function writtenBytes({ writer, entry }: WrittenEntry): number {
  return tagBytes(writer) + entryBytes(entry);
}

function sameEmitter(one: Emitter, other: Emitter | undefined): boolean {
  return other !== undefined && one.brain_id === other.brain_id && one.boot === other.boot &&
    one.term === other.term;
}

/** The rooms that one Brain publishes for. */
export class RoomEmitter {
  readonly #options: RoomEmitterOptions;
  readonly #rooms = new Map<string, RoomEmission>();
  readonly #pending = new Set<RoomEmission>();
  #emitter: Emitter;
  /**
   * Where a room's sequence begins: above those of the rooms dropped in this term, so that a dropped room that returns
   * never reuses a sequence.
   */
  #floor = 0;
  #swept_ms: number;
  #cancel: (() => void) | undefined;

  constructor(options: RoomEmitterOptions) {
    this.#options = options;
    const { brain_id, boot, port } = options;
    this.#emitter = { brain_id, boot, term: 0 };
    this.#swept_ms = port.now();
  }

  get size(): number {
    return this.#rooms.size;
  }

  /**
   * Handles joins and leaves of one room: publishes them at once, or after `announce_ms` together with later changes.
   */
  changed(change: RoomDelta): void {
    const { tenant_id, room_id, joins, leaves } = change;
    const { owns, port, announce_ms } = this.#options;
    if (!owns(tenant_id, room_id)) return;
    const now_ms = port.now();
    const room = this.#room(tenant_id, room_id, now_ms);
    // A clock that was set back must not delay updates.
    const quiet = Math.abs(now_ms - room.sent_ms) >= announce_ms;
    if (room.pending === undefined && quiet) {
      this.#publish(room, pairs(joins, leaves), now_ms);
      return;
    }
    room.pending ??= createPending();
    addPending(room.pending, change);
    this.#pending.add(room);
    this.#cancel ??= port.after(announce_ms, this.#flush);
  }

  /**
   * Begins a new term: rooms that this Brain still owns keep their sequences; the others publish their last update and
   * are dropped.
   */
  ownership(term: number): void {
    const { owns } = this.#options;
    this.#begin(term);
    for (const [key, room] of this.#rooms) {
      if (!owns(room.tenant_id, room.room_id)) this.#drop(key, room);
    }
  }

  /** Restarts every room in this term, because another Brain may have published for it meanwhile. */
  reset(term: number): void {
    this.#begin(term);
    for (const [key, room] of this.#rooms) this.#drop(key, room);
  }

  /** Drops the rooms that have been idle for `IDLE_MS`. */
  sweep(now_ms: number): void {
    if (Math.abs(now_ms - this.#swept_ms) < SWEEP_MS) return;
    this.#swept_ms = now_ms;
    for (const [key, room] of this.#rooms) {
      if (Math.abs(now_ms - room.touched_ms) >= IDLE_MS) this.#drop(key, room);
    }
  }

  /** Stops the timer; unpublished changes are lost. */
  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /**
   * Answers a Shield's request with all members of the room. A room of another Brain is answered, too: the Shield does
   * not know the owner yet, will find itself behind, and will ask the owner.
   */
  pull({ from, request, tenant_id, room_id }: RoomPull): void {
    const { owns, port, state, message_bytes, metrics, refuse, sender } = this.#options;
    let emitter = this.#emitter;
    let sequence = this.#floor;
    if (owns(tenant_id, room_id)) {
      const room = this.#room(tenant_id, room_id, port.now());
      if (room.pending !== undefined) this.#publishPending(room);
      ({ emitter, sequence } = room);
    }
    const clocks = allClocks(state());
    const taken = clocks.reduce((sum, { writer }) => sum + tagBytes(writer), OVERHEAD_BYTES);
    const entries = [...online(state(), tenant_id, room_id)];
    const limit_bytes = Math.max(message_bytes / 4, message_bytes - taken);
    const parts = cutPages(entries, writtenBytes, limit_bytes);
    const pages = parts.map((part, page): RoomSnapshot => ({
      kind: "room_snapshot",
      request,
      page,
      pages: parts.length,
      emitter,
      sequence,
      tenant_id,
      room_id,
      entries: part,
      clocks: page === 0 ? clocks : [],
    }));
    if (sender.send(processSubject("direct", from), pages)) metrics.room_snapshots.inc();
    else refuse("busy", { from, tenant_id, room: room_id });
  }

  /** Answers a Shield's request with the rooms in which it is behind, and those not owned here. */
  check({ from, request, rooms }: RoomCheck): void {
    const { port, metrics } = this.#options;
    const now_ms = port.now();
    const differing: RoomPosition[] = [];
    for (const { tenant_id, room_id, emitter, sequence } of rooms) {
      const room = this.#rooms.get(roomKey(tenant_id, room_id));
      if (room === undefined) {
        differing.push({ tenant_id, room_id, emitter: undefined, sequence: 0 });
        continue;
      }
      room.touched_ms = now_ms;
      if (sameEmitter(room.emitter, emitter) && room.sequence === sequence) continue;
      differing.push({ tenant_id, room_id, emitter: room.emitter, sequence: room.sequence });
    }
    metrics.room_differs.inc(differing.length);
    const subject = processSubject("direct", from);
    port.send(subject, { kind: "room_differs", request, rooms: differing });
  }

  #room(tenant_id: string, room_id: string, now_ms: number): RoomEmission {
    const key = roomKey(tenant_id, room_id);
    let room = this.#rooms.get(key);
    if (room === undefined) {
      room = {
        tenant_id,
        room_id,
        emitter: this.#emitter,
        sequence: this.#floor,
        sent_ms: -Infinity,
        touched_ms: now_ms,
        pending: undefined,
      };
      this.#rooms.set(key, room);
    }
    room.touched_ms = now_ms;
    return room;
  }

  #begin(term: number): void {
    this.#emitter = { ...this.#emitter, term };
    this.#floor = 0;
  }

  #drop(key: string, room: RoomEmission): void {
    if (room.pending !== undefined) this.#publishPending(room);
    if (room.emitter === this.#emitter) this.#floor = Math.max(this.#floor, room.sequence + 1);
    this.#rooms.delete(key);
  }

  #flush = (): void => {
    this.#cancel = undefined;
    for (const room of this.#pending) this.#publishPending(room);
  };

  #publishPending(room: RoomEmission): void {
    const { pending } = room;
    room.pending = undefined;
    this.#pending.delete(room);
    if (pending === undefined) return;
    const steps = pairs([...pending.joins.values()], [...pending.leaves.values()]);
    this.#publish(room, steps, this.#options.port.now());
  }

  #publish(room: RoomEmission, steps: readonly Step[], now_ms: number): void {
    if (steps.length === 0) return;
    const { port, metrics, message_bytes } = this.#options;
    const { tenant_id, room_id, emitter } = room;
    const subject = presenceSubject(tenant_id, room_id);
    for (const part of cutPages(steps, stepBytes, message_bytes - OVERHEAD_BYTES)) {
      room.sequence += 1;
      port.send(subject, {
        kind: "room_update",
        emitter,
        sequence: room.sequence,
        tenant_id,
        room_id,
        joins: part.flatMap(({ join }) => join ?? []),
        leaves: part.flatMap(({ leave }) =>
          leave === undefined ? [] : [{ writer: leave.writer, counter: leave.entry.counter }]
        ),
        clocks: this.#clocks(part),
      });
      metrics.room_updates.inc();
    }
    room.sent_ms = now_ms;
    room.touched_ms = now_ms;
  }

  /** The clocks of the writers in the steps; a forgotten writer has none. */
  #clocks(steps: readonly Step[]) {
    const state = this.#options.state();
    const writers = new Set<WrittenEntry["writer"]>();
    for (const { join, leave } of steps) {
      if (join !== undefined) writers.add(join.writer);
      if (leave !== undefined) writers.add(leave.writer);
    }
    return [...writers].flatMap((writer) => {
      const clock = clockOf(state, writer);
      return clock === undefined ? [] : [{ writer, clock }];
    });
  }
}

/** The pending joins and leaves, by birth mark. */
interface Pending {
  readonly joins: Map<string, WrittenEntry>;
  readonly leaves: Map<string, WrittenEntry>;
}

/** One change to publish: a join, a leave, or both if a connection's entry is replaced. */
export interface Step {
  readonly leave: WrittenEntry | undefined;
  readonly join: WrittenEntry | undefined;
}

/** Creates an empty set of pending changes. */
export function createPending(): Pending {
  return { joins: new Map(), leaves: new Map() };
}

function tagKey({ writer, entry }: WrittenEntry): string {
  return `${writerKey(writer)}/${entry.counter}`;
}

/** Adds changes after the pending ones. A join and a leave of one birth mark cancel out. */
export function addPending({ joins, leaves }: Pending, change: RoomDelta): void {
  for (const gone of change.leaves) {
    const key = tagKey(gone);
    if (!joins.delete(key)) leaves.set(key, gone);
  }
  for (const come of change.joins) {
    const key = tagKey(come);
    // Its Shield was down and is up again: its leave was never published.
    if (!leaves.delete(key)) joins.set(key, come);
  }
}

/** Pairs the leave and the join of one connection, so that a split between two messages never shows it as absent. */
export function pairs(
  joins: readonly WrittenEntry[],
  leaves: readonly WrittenEntry[],
): readonly Step[] {
  if (leaves.length === 0) return joins.map((join) => ({ leave: undefined, join }));
  const gone = new Map(leaves.map((leave) => [leave.entry.connection_id, leave]));
  const paired = new Set<WrittenEntry>();
  const steps = joins.map((join): Step => {
    const leave = gone.get(join.entry.connection_id);
    if (leave === undefined || paired.has(leave)) return { leave: undefined, join };
    paired.add(leave);
    return { leave, join };
  });
  for (const leave of leaves) {
    if (!paired.has(leave)) steps.push({ leave, join: undefined });
  }
  return steps;
}
