/**
 * The member tables of all rooms watched by clients of this Shield, in step with the rooms' owners: updates in
 * sequence, snapshots after gaps, and with every heartbeat a check of the owners' positions, which finds lost last
 * updates, dead owners and hand-overs.
 */
import type { BrainTable } from "../../shared/cluster/cluster.ts";
import type { Config } from "../../shared/config/schema.ts";
import type {
  PresencePort,
  RoomDiffers,
  RoomPosition,
  RoomSnapshot,
  RoomUpdate,
  ShieldPort,
} from "../../shared/presence/messages.ts";
import { writerKey } from "../../shared/presence/types.ts";
import type { Entry, MemberInput, Writer, WriterKey } from "../../shared/presence/types.ts";
import { presenceSubject, processSubject } from "../../shared/subjects/subject.ts";
import { isSameEmitter, removeOwn, setOwn, takeSnapshot, takeUpdate } from "./table.ts";
import type { Snapshot, SnapshotOutcome, TableMember } from "./table.ts";
import { type PresenceStats, type PullOutcome, refuse } from "./stats.ts";
import { WatchedRoom } from "./watched_room.ts";
import type { PresenceWatch, PresenceWatcher, RoomView } from "./watched_room.ts";
import { bump } from "../stats/stats.ts";

/** The most rooms that are checked in one heartbeat; beyond that they take turns. */
const CHECKS_MAX = 2_000;
/** Positions in one message; each takes at most about 300 bytes. */
const CHECKS_PER_MESSAGE = 1_000;
/** The number of heartbeats for which a Brain may lack data that a table has seen (see `SnapshotRules`). */
const PATIENCE_HEARTBEATS = 4;

interface TablesOptions {
  readonly node_id: string;
  readonly port: ShieldPort;
  readonly config: Config["presence"];
  readonly stats: PresenceStats;
  readonly brains: Pick<BrainTable, "ownerOf" | "live" | "beatOf">;
  /** Called with the id of a Brain that does not answer. */
  readonly onSilent: (brain_id: string) => void;
  readonly ownMembers: (tenant_id: string, room_id: string) => Iterable<Entry>;
}

interface Open {
  readonly room: WatchedRoom;
  readonly unlisten: () => void;
}

/** Whether `writer` is a younger incarnation of the node of `key`. */
function isLaterLife({ node_id, incarnation }: Writer, key: WriterKey): boolean {
  return key.startsWith(`${node_id}@`) && incarnation > Number(key.slice(node_id.length + 1));
}

/** All watched rooms of one Shield. */
export class Tables {
  readonly #options: TablesOptions;
  readonly #pulls: Pulls;
  readonly #rooms = new Map<string, Open>();
  /** The rooms at which the checks continue with the next heartbeat. */
  #next: Iterator<Open> | undefined;
  #requests = 0;

  constructor(options: TablesOptions) {
    this.#options = options;
    this.#pulls = new Pulls({
      ...options,
      members_max: options.config.members_per_brain,
      onSnapshot: (room, snapshot) => this.#onSnapshot(room, snapshot),
    });
  }

  /** Watches a room. Throws as listening on the Spine throws. */
  watch(tenant_id: string, room_id: string, watcher: PresenceWatcher): PresenceWatch {
    const subject = presenceSubject(tenant_id, room_id);
    const open = this.#rooms.get(subject);
    if (open !== undefined) {
      if (open.room.doubted) this.#pulls.want(open.room);
      return open.room.watch(watcher);
    }
    // Subscribes first, so that no message after the snapshot is missed.
    const unlisten = this.#options.port.listen(subject);
    const { port, stats, config } = this.#options;
    const { announce_ms, sync_timeout_ms } = config;
    const room = new WatchedRoom(tenant_id, room_id, {
      port,
      stats,
      announce_ms,
      sync_timeout_ms,
      onEmpty: () => this.#close(subject),
    });
    for (const entry of this.#options.ownMembers(tenant_id, room_id)) setOwn(room.table, entry);
    const watch = room.watch(watcher);
    this.#rooms.set(subject, { room, unlisten });
    stats.rooms++;
    this.#pulls.want(room);
    return watch;
  }

  /** Takes the changes of this Shield's own connections in a room, notified as one batch. */
  onOwn(
    tenant_id: string,
    room_id: string,
    joined: readonly Entry[],
    left: readonly Entry[],
  ): void {
    const open = this.#rooms.get(presenceSubject(tenant_id, room_id));
    if (open === undefined) return;
    for (const entry of joined) setOwn(open.room.table, entry);
    for (const entry of left) removeOwn(open.room.table, entry.connection_id);
    open.room.touch();
  }

  onUpdate(subject: string, update: RoomUpdate): void {
    const { stats, node_id } = this.#options;
    const { tenant_id, room_id } = update;
    if (subject !== presenceSubject(tenant_id, room_id)) return refuse(stats, "wrong-subject");
    const room = this.#rooms.get(subject)?.room;
    // The answer arrived after the last watcher left.
    if (room === undefined) return;
    const is_ours = update.joins.every(({ entry }) =>
      entry.tenant_id === tenant_id && entry.room_id === room_id
    );
    if (!is_ours) return refuse(stats, "entry-of-another-room");
    if (takeUpdate(room.position, room.table, update, node_id) === "gap") this.#pulls.want(room);
    room.touch();
  }

  onSnapshot(page: RoomSnapshot): void {
    this.#pulls.onPage(page);
  }

  /** Takes the rooms that have changed at their owner. Those that have not changed here meanwhile are requested. */
  onDiffers({ rooms }: RoomDiffers): void {
    for (const { tenant_id, room_id, emitter, sequence } of rooms) {
      const room = this.#rooms.get(presenceSubject(tenant_id, room_id))?.room;
      if (room === undefined) continue;
      const { position } = room;
      if (isSameEmitter(emitter, position.emitter) && position.sequence >= sequence) continue;
      this.#options.stats.check_differences++;
      this.#pulls.want(room);
    }
  }

  /** Call it when the set of live Brains has changed. */
  onOwners(): void {
    this.#pulls.onOwners();
  }

  /**
   * Call it when messages may have been missed: a new watcher then gets a list only after the owner has confirmed it.
   */
  doubt(): void {
    for (const { room } of this.#rooms.values()) room.doubt();
  }

  /** Asks owners about as many rooms as one heartbeat allows. */
  check(): void {
    const by_owner = new Map<string, RoomPosition[]>();
    for (let looked = Math.min(this.#rooms.size, CHECKS_MAX); looked > 0; looked--) {
      const room = this.#nextRoom();
      if (room === undefined || room.pull.is_wanted) continue;
      const { tenant_id, room_id, position: { emitter, sequence } } = room;
      const owner = this.#options.brains.ownerOf(tenant_id, room_id);
      if (owner === undefined) continue;
      const positions = by_owner.get(owner) ?? [];
      positions.push({ tenant_id, room_id, emitter, sequence });
      by_owner.set(owner, positions);
    }
    for (const [owner, positions] of by_owner) this.#sendCheck(owner, positions);
  }

  /** The known members of a watched room. */
  view(tenant_id: string, room_id: string): RoomView | undefined {
    return this.#rooms.get(presenceSubject(tenant_id, room_id))?.room.view();
  }

  /** The member with this connection's id and user: the connection has moved from another Shield. */
  sameMember(
    { tenant_id, room_id, connection_id, issuer, user_id }: MemberInput,
  ): TableMember | undefined {
    const room = this.#rooms.get(presenceSubject(tenant_id, room_id))?.room;
    const member = room?.table.shown.get(connection_id);
    return member?.issuer === issuer && member.user_id === user_id ? member : undefined;
  }

  /** The number of connections in a watched room; undefined if it is not watched. */
  size(tenant_id: string, room_id: string): number | undefined {
    return this.#rooms.get(presenceSubject(tenant_id, room_id))?.room.table.shown.size;
  }

  /** Ends all watches and stops telling clients. */
  close(): void {
    this.#pulls.close();
    for (const { room, unlisten } of this.#rooms.values()) {
      room.stop();
      unlisten();
    }
    this.#options.stats.rooms -= this.#rooms.size;
    this.#rooms.clear();
  }

  #close(subject: string): void {
    const open = this.#rooms.get(subject);
    if (open === undefined) return;
    this.#rooms.delete(subject);
    this.#options.stats.rooms--;
    this.#pulls.drop(open.room);
    open.unlisten();
  }

  #onSnapshot(room: WatchedRoom, snapshot: Snapshot): SnapshotOutcome {
    const { node_id, port, config } = this.#options;
    const outcome = takeSnapshot(room.position, room.table, snapshot, {
      node_id,
      now_ms: port.now(),
      patience_ms: PATIENCE_HEARTBEATS * config.heartbeat_ms,
      isOver: (key) => this.#isOver(key),
    });
    if (outcome === "applied" || outcome === "gap") room.onSynced();
    room.touch();
    return outcome;
  }

  /** Whether a Brain lists this incarnation of a node as dropped, or a younger one. */
  #isOver(key: WriterKey): boolean {
    const { brains } = this.#options;
    return brains.live().some((brain_id) =>
      brains.beatOf(brain_id)?.writers.some(({ writer, state }) =>
        isLaterLife(writer, key) || (state === "forgotten" && writerKey(writer) === key)
      )
    );
  }

  /** The next room in turn. A map's iterator continues at its position, whatever was added or removed. */
  #nextRoom(): WatchedRoom | undefined {
    this.#next ??= this.#rooms.values();
    let next = this.#next.next();
    if (next.done === true) {
      this.#next = this.#rooms.values();
      next = this.#next.next();
    }
    return next.done === true ? undefined : next.value.room;
  }

  #sendCheck(owner: string, positions: readonly RoomPosition[]): void {
    const { node_id: from, port, stats } = this.#options;
    stats.checks += positions.length;
    for (let start = 0; start < positions.length; start += CHECKS_PER_MESSAGE) {
      const rooms = positions.slice(start, start + CHECKS_PER_MESSAGE);
      const request = ++this.#requests;
      port.send(processSubject("direct", owner), { kind: "room_check", from, request, rooms });
    }
  }
}

// Requests rooms' members from their owners: a limited number of rooms at a time, with retries, and each room at a
// limited rate. An answer has pages of one moment, and counts only when it is complete.

/** The most pending requests. */
const PULLS_MAX = 256;
/** The timeout of the next page, in ms; it doubles after each failure, up to the limit. */
const ANSWER_MS = 500;
const ANSWER_MAX_MS = 4_000;
/** After this many failures in a row the owner is reported as silent. */
const SUSPECT_AFTER = 2;
/** The shortest time between two requests for one room if the first was answered, in ms. */
const AGAIN_MS = 250;
const PAGES_MAX = 8_192;

interface PullsOptions {
  readonly node_id: string;
  readonly port: PresencePort;
  readonly stats: PresenceStats;
  readonly brains: Pick<BrainTable, "ownerOf">;
  /** Called with the id of a Brain that does not answer. */
  readonly onSilent: (brain_id: string) => void;
  /** The most members of a snapshot; a larger one is refused. */
  readonly members_max: number;
  /** Called with a complete answer for a room that is still watched. */
  readonly onSnapshot: (room: WatchedRoom, snapshot: Snapshot) => SnapshotOutcome;
}

interface Question {
  readonly room: WatchedRoom;
  readonly request: number;
  readonly owner: string;
  readonly pages: Map<number, RoomSnapshot>;
  members: number;
  cancel: () => void;
}

interface Delayed {
  readonly room: WatchedRoom;
  readonly due_ms: number;
}

class Pulls {
  readonly #options: PullsOptions;
  #requests = 0;
  readonly #queue = new Set<WatchedRoom>();
  readonly #questions = new Map<number, Question>();
  /** Rooms that wait because no Brain serves. */
  readonly #parked = new Set<WatchedRoom>();
  /** Requests that wait for their time, in that order. */
  #delayed: Delayed[] = [];
  #cancelDelay: (() => void) | undefined;

  constructor(options: PullsOptions) {
    this.#options = options;
  }

  /** Requests the room, unless a request is pending. */
  want(room: WatchedRoom): void {
    if (room.pull.is_wanted || room.closed) return;
    room.pull.is_wanted = true;
    const now_ms = this.#options.port.now();
    if (now_ms - room.pull.ended_ms < AGAIN_MS) return this.#delay(room, now_ms + AGAIN_MS);
    this.#queue.add(room);
    this.#ask();
  }

  drop(room: WatchedRoom): void {
    this.#queue.delete(room);
    this.#parked.delete(room);
  }

  /** Retries after the set of live Brains has changed. */
  onOwners(): void {
    for (const room of this.#parked) this.#queue.add(room);
    this.#parked.clear();
    this.#ask();
  }

  onPage(page: RoomSnapshot): void {
    const { stats, members_max } = this.#options;
    const question = this.#questions.get(page.request);
    if (question === undefined || !isOf(question.room, page)) {
      return refuse(stats, "not-asked-for");
    }
    const [first] = question.pages.values();
    if (first !== undefined && !isOneMoment(first, page)) return refuse(stats, "mixed-pages");
    if (page.page >= page.pages || question.pages.has(page.page)) return;
    question.members += page.entries.length;
    if (question.members > members_max || page.pages > PAGES_MAX) {
      return refuse(stats, "snapshot-too-large");
    }
    if (!page.entries.every(({ entry }) => isOf(question.room, entry))) {
      return refuse(stats, "entry-of-another-room");
    }
    question.pages.set(page.page, page);
    question.cancel();
    if (question.pages.size < page.pages) this.#setTimeout(question);
    else this.#complete(question);
  }

  close(): void {
    this.#cancelDelay?.();
    for (const { cancel } of this.#questions.values()) cancel();
    this.#questions.clear();
    this.#queue.clear();
    this.#parked.clear();
    this.#delayed = [];
  }

  #delay(room: WatchedRoom, due_ms: number): void {
    this.#delayed.push({ room, due_ms });
    if (this.#delayed.length === 1) this.#setDelay();
  }

  #setDelay(): void {
    const [first] = this.#delayed;
    if (first === undefined) return;
    const { port } = this.#options;
    this.#cancelDelay = port.after(Math.max(0, first.due_ms - port.now()), () => {
      const now_ms = port.now();
      const later = this.#delayed.findIndex(({ due_ms }) => due_ms > now_ms);
      const due = this.#delayed.splice(0, later < 0 ? this.#delayed.length : later);
      for (const { room } of due) this.#queue.add(room);
      this.#setDelay();
      this.#ask();
    });
  }

  #ask(): void {
    const { brains } = this.#options;
    for (const room of this.#queue) {
      if (this.#questions.size >= PULLS_MAX) return;
      this.#queue.delete(room);
      if (room.closed) continue;
      const owner = brains.ownerOf(room.tenant_id, room.room_id);
      if (owner === undefined) this.#parked.add(room);
      else this.#send(room, owner);
    }
  }

  #send(room: WatchedRoom, owner: string): void {
    const { node_id, port } = this.#options;
    const request = ++this.#requests;
    const cancel = () => {};
    const question: Question = { room, request, owner, pages: new Map(), members: 0, cancel };
    this.#questions.set(request, question);
    this.#setTimeout(question);
    const { tenant_id, room_id } = room;
    const pull = { kind: "room_pull", from: node_id, request, tenant_id, room_id } as const;
    port.send(processSubject("direct", owner), pull);
  }

  #setTimeout(question: Question): void {
    const wait_ms = Math.min(ANSWER_MAX_MS, ANSWER_MS * 2 ** question.room.pull.failures);
    question.cancel = this.#options.port.after(wait_ms, () => this.#giveUp(question));
  }

  #giveUp({ room, request, owner, pages }: Question): void {
    this.#questions.delete(request);
    if (room.closed) return this.#ended("unwanted");
    this.#ended(pages.size === 0 ? "unanswered" : "cut");
    room.pull.failures++;
    this.#queue.add(room);
    const is_silent = room.pull.failures >= SUSPECT_AFTER && pages.size === 0;
    if (is_silent) this.#options.onSilent(owner);
    this.#ask();
  }

  #complete({ room, request, pages }: Question): void {
    this.#questions.delete(request);
    if (room.closed) {
      this.#ended("unwanted");
    } else {
      room.pull.is_wanted = false;
      room.pull.failures = 0;
      room.pull.ended_ms = this.#options.port.now();
      const outcome = this.#options.onSnapshot(room, joined(pages));
      this.#ended(outcome);
      const missing = outcome === "gap" || outcome === "behind" || !room.synced;
      if (missing || room.position.ahead.length > 0) this.want(room);
    }
    this.#ask();
  }

  #ended(outcome: PullOutcome): void {
    bump(this.#options.stats.pulls, outcome);
  }
}

function isOf(
  room: { readonly tenant_id: string; readonly room_id: string },
  thing: { readonly tenant_id: string; readonly room_id: string },
): boolean {
  return room.tenant_id === thing.tenant_id && room.room_id === thing.room_id;
}

function isOneMoment(one: RoomSnapshot, other: RoomSnapshot): boolean {
  return one.pages === other.pages && one.sequence === other.sequence &&
    one.emitter.brain_id === other.emitter.brain_id && one.emitter.boot === other.emitter.boot &&
    one.emitter.term === other.emitter.term;
}

function joined(pages: ReadonlyMap<number, RoomSnapshot>): Snapshot {
  const all = [...pages.values()].sort((a, b) => a.page - b.page);
  const [{ emitter, sequence }] = all as [RoomSnapshot, ...RoomSnapshot[]];
  return {
    emitter,
    sequence,
    entries: all.flatMap((page) => page.entries),
    clocks: all.flatMap((page) => page.clocks),
  };
}
