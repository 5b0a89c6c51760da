/**
 * The member tables of all rooms that clients of this Shield watch, kept in step with the rooms'
 * owners: updates in sequence, snapshots where something is missing, and every heartbeat a check of
 * where the owners stand, which finds lost last updates, dead owners and hand-overs.
 */
import type { BrainTable } from "../../shared/cluster/cluster.ts";
import type { Config } from "../../shared/config/schema.ts";
import type {
  PresencePort,
  RoomDiffers,
  RoomPosition,
  RoomSnapshot,
  RoomUpdate,
} from "../../shared/presence/messages.ts";
import type { Entry, MemberInput, Writer, WriterKey } from "../../shared/presence/types.ts";
import { writerKey } from "../../shared/presence/types.ts";
import { presenceSubject, processSubject } from "../../shared/subjects/subject.ts";
import { isSameEmitter, takeSnapshot, takeUpdate } from "./position.ts";
import type { Snapshot, SnapshotOutcome } from "./position.ts";
import { Pulls } from "./pulls.ts";
import { refuse } from "./stats.ts";
import type { PresenceStats } from "./stats.ts";
import { removeOwn, setOwn } from "./table.ts";
import type { TableMember } from "./table.ts";
import { WatchedRoom } from "./watched_room.ts";
import type { PresenceWatch, PresenceWatcher, RoomView } from "./watched_room.ts";

/** The most rooms that are checked in one heartbeat; above that they take turns. */
const CHECKS_MAX = 2_000;
/** Positions in one message; each takes at most about 300 bytes. */
const CHECKS_PER_MESSAGE = 1_000;
/** For how many heartbeats a Brain may lack what a table has seen (see `SnapshotRules`). */
const PATIENCE_HEARTBEATS = 4;

/** What the tables need of the process. */
export interface TablesOptions {
  readonly node_id: string;
  readonly port: PresencePort;
  readonly config: Config["presence"];
  readonly stats: PresenceStats;
  readonly brains: Pick<BrainTable, "ownerOf" | "live" | "beatOf">;
  /** Called with the id of a Brain that does not answer. */
  readonly onSilent: (brain_id: string) => void;
  /** The members of a room that are this Shield's own. */
  readonly ownMembers: (tenant_id: string, room_id: string) => Iterable<Entry>;
}

interface Open {
  readonly room: WatchedRoom;
  readonly unlisten: () => void;
}

/** Whether `writer` is a younger life of the node of `key`. */
function isLaterLife({ node_id, incarnation }: Writer, key: WriterKey): boolean {
  return key.startsWith(`${node_id}@`) && incarnation > Number(key.slice(node_id.length + 1));
}

/** All watched rooms of one Shield. */
export class Tables {
  readonly #options: TablesOptions;
  readonly #pulls: Pulls;
  readonly #rooms = new Map<string, Open>();
  /** The rooms from which the checks go on at the next heartbeat. */
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
    // Listening comes first, so that nothing said after the snapshot is missed.
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

  /** Takes what this Shield's own connections did in a room, to be reported as one batch. */
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
    // The answer was under way when the last watcher left.
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

  /**
   * Takes the rooms that have moved on at their owner. Those that have not moved here meanwhile are
   * asked for.
   */
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

  /** Takes note that the set of live Brains has changed. */
  onOwners(): void {
    this.#pulls.onOwners();
  }

  /**
   * Takes note that messages may have been missed: a new watcher gets a list only after the owner has
   * confirmed it.
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

  /** The members of a watched room, as far as they are known. */
  view(tenant_id: string, room_id: string): RoomView | undefined {
    return this.#rooms.get(presenceSubject(tenant_id, room_id))?.room.view();
  }

  /**
   * The member that has the id of this connection and is of the same user: it has come from elsewhere.
   */
  sameMember(
    { tenant_id, room_id, connection_id, issuer, user_id }: MemberInput,
  ): TableMember | undefined {
    const room = this.#rooms.get(presenceSubject(tenant_id, room_id))?.room;
    const member = room?.table.shown.get(connection_id);
    return member?.issuer === issuer && member.user_id === user_id ? member : undefined;
  }

  /** The number of connections in a watched room; undefined when it is not watched. */
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

  /** Whether some Brain lists this life of a node as forgotten, or a younger one. */
  #isOver(key: WriterKey): boolean {
    const { brains } = this.#options;
    return brains.live().some((brain_id) =>
      brains.beatOf(brain_id)?.writers.some(({ writer, state }) =>
        isLaterLife(writer, key) || (state === "forgotten" && writerKey(writer) === key)
      )
    );
  }

  /** The next room in turn. A map's iterator goes on where it was, whatever was added or removed. */
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
