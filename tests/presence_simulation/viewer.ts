/**
 * A client's view of one room: the received snapshot, then every change in order. Reports a change without effect at
 * once, and leaves without an explanation. And a Brain's view of its rooms.
 */
import type { PresentMember } from "@arqon/proto";
import type { ClusterView, MemberChange } from "../../brain/cluster_view.ts";
import type { Entry } from "../../shared/presence/types.ts";
import type { PresenceWatch, RoomChanges, ShieldPresence } from "../../shield/presence/presence.ts";
import type { Hearing } from "./hearing.ts";
import type { Life } from "./life.ts";
import { type Departure, memberLine, roomKey, type Truth } from "./truth.ts";

/** The inputs of a viewer. */
export interface ViewerWorld {
  readonly truth: Truth;
  readonly hearing: Hearing;
  readonly now: () => number;
  readonly violate: (text: string) => void;
}

/** The viewing client. */
export interface ViewerOptions {
  readonly world: ViewerWorld;
  readonly life: Life;
  readonly tenant_id: string;
  readonly room_id: string;
  readonly connection_id: string;
  readonly observer: boolean;
}

/** One subscription with presence. */
export class Viewer {
  readonly members = new Map<string, PresentMember>();
  /** Its SUB took effect. */
  entered = false;
  /** It was answered; changes count from here on. */
  answered = false;
  #watch: PresenceWatch | undefined;
  #closed = false;
  /** Connection → the actual leave that this client was notified of. */
  readonly #gone = new Map<string, Departure>();
  #counts = { connections: 0, users: 0 };

  constructor(readonly options: ViewerOptions) {}

  get name(): string {
    const { connection_id, tenant_id, room_id } = this.options;
    return `${connection_id} in ${tenant_id}/${room_id}`;
  }

  /** Subscribes to the room; calls back once, with whether it was answered. */
  open(shield: ShieldPresence, onAnswer: (answered: boolean) => void): void {
    const { tenant_id, room_id } = this.options;
    this.#watch = shield.watch(tenant_id, room_id, {
      onChanges: (changes) => this.#onChanges(changes),
    });
    this.#watch.ready((error) => {
      if (this.#closed) return;
      if (error !== undefined) {
        this.close();
        onAnswer(false);
        return;
      }
      onAnswer(true);
    });
  }

  /** Once its own join has been delivered to all: takes the list of members, as the ACK to the SUB does. */
  answer(): void {
    this.#watch?.reported(() => this.#take());
  }

  #take(): void {
    const { world, observer, connection_id } = this.options;
    const view = this.#watch?.snapshot();
    if (view === undefined) return;
    for (const member of view.members) {
      if (this.members.has(member.connection_id)) {
        world.violate(`${this.name}: ${member.connection_id} is twice in the snapshot`);
      }
      this.#checkTenant(member.connection_id);
      this.members.set(member.connection_id, member);
    }
    this.answered = true;
    this.#count(view);
    if (!observer && !this.members.has(connection_id)) {
      world.violate(`${this.name}: is not in its own snapshot`);
    }
  }

  close(): void {
    this.#closed = true;
    this.#watch?.close();
    this.#watch = undefined;
  }

  /** Differences of the view once everything is quiet; undefined if none. */
  differs(): string | undefined {
    const { world, tenant_id, room_id } = this.options;
    if (!this.answered) return `${this.name}: never answered`;
    const key = roomKey(tenant_id, room_id);
    const seen = [...this.members.values()].map(memberLine).sort().join(", ");
    const truth = world.truth.lines(key).join(", ");
    if (seen !== truth) return `${this.name}: sees [${seen}], truth is [${truth}]`;
    const users = world.truth.users(key);
    if (this.#counts.users !== users) {
      return `${this.name}: was told ${this.#counts.users} users, truth is ${users}`;
    }
    return undefined;
  }

  #onChanges(changes: RoomChanges): void {
    const { world, tenant_id, room_id } = this.options;
    if (this.#closed) return world.violate(`${this.name}: told something after the end`);
    if (!this.answered) return;
    if (changes.tenant_id !== tenant_id || changes.room_id !== room_id) {
      world.violate(`${this.name}: told about ${changes.tenant_id}/${changes.room_id}`);
    }
    if (changes.updates.length + changes.leaves.length === 0) {
      world.violate(`${this.name}: told nothing`);
    }
    for (const { connection_id } of changes.leaves) this.#leave(connection_id);
    for (const member of changes.updates) this.#update(member);
    this.#count(changes);
  }

  #update(member: PresentMember): void {
    const { world } = this.options;
    const before = this.members.get(member.connection_id);
    if (before !== undefined && memberLine(before) === memberLine(member)) {
      world.violate(`${this.name}: told again that ${memberLine(member)} is there`);
    }
    this.#checkTenant(member.connection_id);
    this.#checkGone(member);
    this.members.set(member.connection_id, member);
  }

  /** A member whose leave was delivered must not appear again unless it rejoins. */
  #checkGone({ connection_id, joined_ms }: PresentMember): void {
    const { world, tenant_id, room_id } = this.options;
    if (world.truth.get(tenant_id, room_id, connection_id) !== undefined) return;
    const left = world.truth.leftOf(tenant_id, room_id, connection_id);
    if (left === undefined || this.#gone.get(connection_id) !== left) return;
    // It may be a short stay before the last one that ended, delivered late.
    if (left.joined_ms !== joined_ms) return;
    if (!left.life.alive || this.#isExcused(left.life)) return;
    world.violate(`${this.name}: told that ${connection_id} is there, which had left`);
  }

  /** Brains may not know what happens in that process. */
  #isExcused(life: Life): boolean {
    const { world, life: own } = this.options;
    return world.hearing.excuses(life.id, own.id, world.now());
  }

  #leave(connection_id: string): void {
    const { world, tenant_id, room_id, life } = this.options;
    const known = this.members.get(connection_id);
    if (known === undefined) {
      world.violate(`${this.name}: told that ${connection_id} leaves, which is not there`);
      return;
    }
    this.members.delete(connection_id);
    const member = world.truth.get(tenant_id, room_id, connection_id);
    const left = world.truth.leftOf(tenant_id, room_id, connection_id);
    if (member === undefined) {
      const isEnd = left?.joined_ms === known.joined_ms && !this.#isExcused(left.life);
      if (isEnd) this.#gone.set(connection_id, left);
      return;
    }
    // The end of that connection's previous stay; the current one follows.
    if (member.joined_ms !== known.joined_ms) return;
    if (member.life !== life && this.#isExcused(member.life)) return;
    world.violate(`${this.name}: told that ${connection_id} of ${member.life.id} leaves: wrong`);
  }

  #checkTenant(connection_id: string): void {
    const { world, tenant_id } = this.options;
    const tenant = world.truth.tenants.get(connection_id);
    if (tenant !== tenant_id) {
      world.violate(`${this.name}: sees ${connection_id} of tenant ${tenant}`);
    }
  }

  #count({ connections, users }: { connections: number; users: number }): void {
    const { world } = this.options;
    if (connections !== this.members.size) {
      world.violate(
        `${this.name}: told of ${connections} connections, ${this.members.size} are listed`,
      );
    }
    this.#counts = { connections, users };
  }
}

/**
 * The sum of one Brain's notifications about members of its rooms since it started: it must equal the Brain's answer to
 * a query.
 */
export class BrainFold {
  readonly #rooms = new Map<string, Map<string, Entry>>();

  constructor(readonly brain_id: string, readonly violate: (text: string) => void) {}

  take(change: MemberChange): void {
    const key = roomKey(change.tenant_id, change.room_id);
    let room = this.#rooms.get(key);
    if (room === undefined) this.#rooms.set(key, room = new Map());
    for (const entry of change.leaves) {
      // Two incarnations of one node may have the same connection for a moment: its mark distinguishes them.
      const id = `${entry.connection_id} ${entry.counter} ${entry.changed_ms}`;
      if (!room.delete(id)) {
        this.violate(`${this.brain_id}: told that ${id} leaves ${key}, which is not there`);
      }
    }
    for (const entry of change.joins) {
      const id = `${entry.connection_id} ${entry.counter} ${entry.changed_ms}`;
      if (room.has(id)) this.violate(`${this.brain_id}: told again that ${id} joins ${key}`);
      room.set(id, entry);
    }
  }

  /** Differences in a quiet Brain's view of a room; undefined if none. */
  differs(view: ClusterView, tenant_id: string, room_id: string): string | undefined {
    const key = roomKey(tenant_id, room_id);
    const asked = [...view.members(tenant_id, room_id)].map(memberLine).sort().join(", ");
    const reported = [...this.#rooms.get(key)?.values() ?? []].map(memberLine).sort().join(", ");
    if (asked === reported) return undefined;
    return `${this.brain_id}: told [${reported}] about ${key}, asked it says [${asked}]`;
  }
}
