/**
 * Members in their grace time: the connection is lost and the user may return. Each is held for its room's grace time,
 * then removed. One timer serves all of them. The announcer knows which rooms have a grace time.
 */
import type { PresencePort } from "../../shared/presence/messages.ts";
import type { Entry } from "../../shared/presence/types.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";

/** The connection and room of a member. */
export type MemberRef = Pick<Entry, "tenant_id" | "room_id" | "connection_id">;
type UserRef = Pick<Entry, "tenant_id" | "room_id" | "issuer" | "user_id">;

interface GraceMember extends MemberRef {
  readonly user_key: string;
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

// Neither ids of rooms and connections nor user ids have a line break.
function memberKey({ tenant_id, room_id, connection_id }: MemberRef): string {
  return `${tenant_id}\n${room_id}\n${connection_id}`;
}

function userKey({ tenant_id, room_id, issuer, user_id }: UserRef): string {
  return `${tenant_id}\n${room_id}\n${user_id}\n${issuer}`;
}

/** The members of one Shield that are in their grace time. */
export class GraceMembers {
  readonly #options: GraceMembersOptions;
  readonly #holds = new Map<string, GraceMember>();
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
    const { tenant_id, room_id, connection_id } = entry;
    const user_key = userKey(entry);
    const until_ms = this.#options.port.now() + grace_ms;
    const member = { tenant_id, room_id, connection_id };
    const hold: GraceMember = { ...member, user_key, reason, grace_ms, until_ms };
    this.#holds.set(key, hold);
    put(this.#by_user, user_key, hold);
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
  of(user: UserRef): GraceMember | undefined {
    const [hold] = this.#by_user.get(userKey(user)) ?? [];
    return hold;
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
    remove(this.#by_user, hold.user_key, hold);
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
    for (const hold of ended) this.#drop(hold);
    this.#setTimer(this.#options.round_ms);
    if (ended.length > 0) this.#options.onEnd(ended);
  }
}

function put<Key>(sets: Map<Key, Set<GraceMember>>, key: Key, hold: GraceMember): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([hold]));
  else set.add(hold);
}

function remove<Key>(sets: Map<Key, Set<GraceMember>>, key: Key, hold: GraceMember): void {
  const set = sets.get(key);
  set?.delete(hold);
  if (set?.size === 0) sets.delete(key);
}
