/**
 * Members in their grace time: the connection is lost and the user may return. Each is held for its room's grace time,
 * then removed. One timer serves all of them. The announcer knows which rooms have a grace time.
 */
import type { PresencePort } from "../../shared/presence/messages.ts";
import type { Entry } from "../../shared/presence/types.ts";
import { EVERY_ROOM } from "../../shared/records/bans.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";

/** The connection and room of a member. */
export type MemberRef = Pick<Entry, "tenant_id" | "room_id" | "connection_id">;
type UserRef = Pick<Entry, "tenant_id" | "room_id" | "issuer" | "user_id">;

interface GraceMember extends MemberRef, UserRef {
  /** How its connection ended. */
  readonly reason: LeaveReason;
  readonly grace_ms: number;
  readonly until_ms: number;
}

interface GraceMembersOptions {
  readonly port: PresencePort;
  /** The shortest time between two rounds, in ms; members whose time ends within it end together. */
  readonly round_ms: number;
  readonly onEnd: (members: readonly GraceMember[]) => void;
}

// Ids of tenants and rooms have no line break.
const keyOf = (tenant_id: string, room_id: string, name: string): string =>
  `${tenant_id}\n${room_id}\n${name}`;
const memberKey = ({ tenant_id, room_id, connection_id }: MemberRef): string =>
  keyOf(tenant_id, room_id, connection_id);

/** The members of one Shield that are in their grace time. */
export class GraceMembers {
  readonly #options: GraceMembersOptions;
  readonly #holds = new Map<string, GraceMember>();
  /** The members of a user in a room, and in all rooms, whichever issuer vouches for it. */
  readonly #by_user = new Map<string, Set<GraceMember>>();
  /** The members by the length of their grace time, each set in the order of their ends. */
  readonly #by_grace = new Map<number, Set<GraceMember>>();
  #cancel: (() => void) | undefined;
  /** When the next round is due, Unix ms. */
  #due_ms = Infinity;

  constructor(options: GraceMembersOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#holds.size;
  }

  /** Keeps a member for `grace_ms`, unless it is kept already. */
  add(entry: Entry, grace_ms: number, reason: LeaveReason): void {
    const key = memberKey(entry);
    if (this.#holds.has(key)) return;
    const { tenant_id, room_id, connection_id, issuer, user_id } = entry;
    const until_ms = this.#options.port.now() + grace_ms;
    const member = { tenant_id, room_id, connection_id, issuer, user_id };
    const hold: GraceMember = { ...member, reason, grace_ms, until_ms };
    this.#holds.set(key, hold);
    for (const room of [room_id, EVERY_ROOM]) {
      put(this.#by_user, keyOf(tenant_id, room, user_id), hold);
    }
    put(this.#by_grace, grace_ms, hold);
    if (until_ms < this.#due_ms) this.#setTimer(0);
  }

  /** Ends the grace time of a member; false if it had none. */
  release(member: MemberRef): boolean {
    const hold = this.#holds.get(memberKey(member));
    if (hold !== undefined) this.#drop(hold);
    return hold !== undefined;
  }

  /** This user's longest held member in this room. */
  of({ tenant_id, room_id, issuer, user_id }: UserRef): GraceMember | undefined {
    const holds = this.#by_user.get(keyOf(tenant_id, room_id, user_id));
    return holds?.values().find((hold) => hold.issuer === issuer);
  }

  /** Ends the grace times of a user, or of a connection in a room, at once. */
  endOf(tenant_id: string, room_id: string, target: string): void {
    const key = keyOf(tenant_id, room_id, target);
    const connection = this.#holds.get(key);
    const named = [...this.#by_user.get(key) ?? []];
    this.#end(connection === undefined ? named : [...named, connection]);
  }

  clear(): void {
    this.#cancel?.();
    this.#due_ms = Infinity;
    this.#holds.clear();
    this.#by_user.clear();
    this.#by_grace.clear();
  }

  #drop(hold: GraceMember): void {
    this.#holds.delete(memberKey(hold));
    for (const room of [hold.room_id, EVERY_ROOM]) {
      remove(this.#by_user, keyOf(hold.tenant_id, room, hold.user_id), hold);
    }
    remove(this.#by_grace, hold.grace_ms, hold);
  }

  #setTimer(least_ms: number): void {
    const { port } = this.#options;
    let next_ms = Infinity;
    for (const [first] of this.#by_grace.values()) {
      if (first !== undefined) next_ms = Math.min(next_ms, first.until_ms);
    }
    this.#cancel?.();
    this.#due_ms = next_ms;
    if (next_ms === Infinity) return;
    const wait_ms = Math.max(least_ms, next_ms - port.now());
    this.#cancel = port.after(wait_ms, () => this.#round());
  }

  #round(): void {
    const now_ms = this.#options.port.now();
    const ended: GraceMember[] = [];
    for (const holds of this.#by_grace.values()) {
      for (const hold of holds) {
        if (hold.until_ms > now_ms) break;
        ended.push(hold);
      }
    }
    this.#end(ended);
    this.#setTimer(this.#options.round_ms);
  }

  #end(holds: readonly GraceMember[]): void {
    for (const hold of holds) this.#drop(hold);
    if (holds.length > 0) this.#options.onEnd(holds);
  }
}

function put<Key>(sets: Map<Key, Set<GraceMember>>, key: Key, hold: GraceMember): void {
  sets.getOrInsertComputed(key, () => new Set()).add(hold);
}

function remove<Key>(sets: Map<Key, Set<GraceMember>>, key: Key, hold: GraceMember): void {
  const set = sets.get(key);
  set?.delete(hold);
  if (set?.size === 0) sets.delete(key);
}
