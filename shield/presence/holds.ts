/**
 * Members whose connection is lost and whose user may come back: each is held for the grace time of
 * its room, then let go. One timer for all of them. Which rooms have a grace time is the announcer's
 * to know.
 */
import type { PresencePort } from "../../shared/presence/messages.ts";
import type { Entry } from "../../shared/presence/types.ts";

/** Which member. */
export type MemberRef = Pick<Entry, "tenant_id" | "room_id" | "connection_id">;
/** Whose member. */
export type UserRef = Pick<Entry, "tenant_id" | "room_id" | "issuer" | "user_id">;

/** A member that is held. */
interface Hold extends MemberRef {
  readonly user_key: string;
  readonly grace_ms: number;
  readonly until_ms: number;
}

/** What holding needs. */
export interface HoldsOptions {
  readonly port: PresencePort;
  /** Shortest time between two rounds, in ms: what ends within it ends together. */
  readonly round_ms: number;
  /** Their time is over. */
  readonly onEnd: (members: readonly MemberRef[]) => void;
}

// No id has a line break in it, nor has a user id.
function memberKey({ tenant_id, room_id, connection_id }: MemberRef): string {
  return `${tenant_id}\n${room_id}\n${connection_id}`;
}

function userKey({ tenant_id, room_id, issuer, user_id }: UserRef): string {
  return `${tenant_id}\n${room_id}\n${user_id}\n${issuer}`;
}

/** All held members of one Shield. */
export class Holds {
  readonly #options: HoldsOptions;
  readonly #holds = new Map<string, Hold>();
  readonly #by_user = new Map<string, Set<Hold>>();
  /** By grace time, and within one in the order of their end. */
  readonly #by_grace = new Map<number, Set<Hold>>();
  #cancel: (() => void) | undefined;
  /** When the next round is; Unix ms. */
  #due_ms = Infinity;

  constructor(options: HoldsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#holds.size;
  }

  /** Holds a member for `grace_ms`, unless it is held already. */
  add(entry: Entry, grace_ms: number): void {
    const key = memberKey(entry);
    if (this.#holds.has(key)) return;
    const { tenant_id, room_id, connection_id } = entry;
    const user_key = userKey(entry);
    const until_ms = this.#options.port.now() + grace_ms;
    const hold: Hold = { tenant_id, room_id, connection_id, user_key, grace_ms, until_ms };
    this.#holds.set(key, hold);
    put(this.#by_user, user_key, hold);
    put(this.#by_grace, grace_ms, hold);
    if (until_ms < this.#due_ms) this.#setTimer(0);
  }

  /** Holds it no longer; false when it was not held. */
  release(member: MemberRef): boolean {
    const hold = this.#holds.get(memberKey(member));
    if (hold !== undefined) this.#drop(hold);
    return hold !== undefined;
  }

  /** A held member of this user in this room, the longest held first. */
  of(user: UserRef): MemberRef | undefined {
    const [hold] = this.#by_user.get(userKey(user)) ?? [];
    return hold;
  }

  /** Forgets them all. */
  clear(): void {
    this.#cancel?.();
    this.#due_ms = Infinity;
    this.#holds.clear();
    this.#by_user.clear();
    this.#by_grace.clear();
  }

  #drop(hold: Hold): void {
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
    const ended: Hold[] = [];
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

function put<Key>(sets: Map<Key, Set<Hold>>, key: Key, hold: Hold): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([hold]));
  else set.add(hold);
}

function remove<Key>(sets: Map<Key, Set<Hold>>, key: Key, hold: Hold): void {
  const set = sets.get(key);
  set?.delete(hold);
  if (set?.size === 0) sets.delete(key);
}
