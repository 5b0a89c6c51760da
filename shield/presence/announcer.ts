/**
 * Announces this Shield's own connections to the cluster: joins, updates and leaves in batches, heartbeats, and answers
 * to processes that missed something. It is the only writer of its entries (`shared/presence`). The Shield's clients
 * get them from `tables.ts` at once.
 */
import { ArqonError, matchesRoomPattern } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { deltaPages, MESSAGE_BYTES, splitDelta } from "../../shared/presence/pages.ts";
import type {
  Beat,
  MissedStays,
  PresencePort,
  Pull,
  Stay,
  Stays,
  StaysWritten,
} from "../../shared/presence/messages.ts";
import { EVERY_ROOM } from "../../shared/records/bans.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import { PacedSender } from "../../shared/presence/paced_sender.ts";
import {
  clockOf,
  createState,
  deltaSince,
  entriesOf,
  entryOf,
  heartbeatDelta,
  join,
  leave,
  memberCount,
  online,
  takeDelta,
  update,
} from "../../shared/presence/state.ts";
import type { PresenceState } from "../../shared/presence/state.ts";
import { writerKey } from "../../shared/presence/types.ts";
import type { Delta, Entry, MemberInput, Tag, Writer } from "../../shared/presence/types.ts";
import { processSubject, type Subject } from "../../shared/subjects/subject.ts";
import { bump } from "../stats/stats.ts";
import type { PresenceStats } from "./stats.ts";
import { FairMap } from "../../shared/turns/fair_map.ts";
import { plural } from "../../shared/plural.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";

/** More new incarnations than this within `REINCARNATION_MS` mean that another process has our node id. */
const REINCARNATIONS_MAX = 3;
const REINCARNATION_MS = 30_000;
/** The largest step of an incarnation above a younger one, in ms, for a node whose clock is behind. */
const LEAP_MS = 60_000;

/** The most stays in one announcement; the others are sent with the next heartbeat. */
const BRIEF_MAX = 256;
const REASONS_MAX = 8_192;

/** The dependencies and settings of `Announcer`. */
export interface AnnouncerOptions extends Pick<Env, "log" | "node_id"> {
  /** The start of the process in Unix ms, which is its first incarnation. */
  readonly started_ms: number;
  readonly port: PresencePort;
  readonly config: Config["presence"];
  readonly stats: PresenceStats;
  /** Whether the room has a journal of members; absent: none has. */
  readonly isJournaled?: (tenant_id: string, room_id: string) => boolean;
  /** Called with held members whose user has not returned. */
  readonly onLost: (entries: readonly Entry[]) => void;
}

/** Changes of own members. A connection is in at most one list; an update counts as joined. */
interface OwnChanges {
  readonly joined: readonly Entry[];
  readonly left: readonly Entry[];
}

const NOTHING: OwnChanges = { joined: [], left: [] };

/** The announcer of one Shield's members. */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #subject: Subject;
  readonly in_grace: GraceMembers;
  readonly #answers: PacedSender;
  /** For the journals of members. */
  readonly unconfirmed: Unconfirmed;
  readonly #members: FairBound;
  #state: PresenceState;
  #sent_ms = -Infinity;
  #cancelSend: (() => void) | undefined;
  #leaving = false;
  #moving = false;
  /** Why members left since the last announcement, by the counters of their entries. */
  #reasons = new Map<number, LeaveReason>();
  /** Members that came and left since the last announcement, which therefore lacks them. */
  #brief: Stay[] = [];
  /** When the last few incarnations were taken, in Unix ms. */
  #reincarnated_ms: number[] = [];

  constructor(options: AnnouncerOptions) {
    const { node_id, started_ms, port, config } = options;
    this.#options = options;
    this.#subject = processSubject("announce", node_id);
    this.#members = new FairBound(config.members_per_shield);
    this.#state = createState({ node_id, incarnation: started_ms });
    this.#answers = new PacedSender(port);
    this.unconfirmed = new Unconfirmed(options.stats);
    this.in_grace = new GraceMembers({
      port,
      round_ms: config.announce_ms,
      onEnd: (members) =>
        options.onLost(members.flatMap((member) => this.#leave(member, member.reason))),
    });
  }

  get writer(): Writer {
    return this.#state.self as Writer;
  }

  /** The own members of a room, in the order of joining. */
  *members(tenant_id: string, room_id: string): Generator<Entry> {
    for (const { entry } of online(this.#state, tenant_id, room_id)) yield entry;
  }

  /** The entry of a connection in a room. */
  entry(member: MemberRef): Entry | undefined {
    return entryOf(this.#state, this.writer, member);
  }

  /** Whether a lost connection of this user is held in this room. */
  isHeld(member: MemberInput): boolean {
    return this.in_grace.of(member) !== undefined;
  }

  /**
   * Adds a member, or changes the metadata of an existing one. A held member of the same user leaves right after.
   * `joined_ms` (Unix ms) is for a member from another Shield. Throws `member-limit`.
   */
  join(member: MemberInput, joined_ms?: number): OwnChanges {
    const { tenant_id, room_id, connection_id, meta } = member;
    const now_ms = this.#options.port.now();
    const before = this.entry(member);
    if (before !== undefined) {
      this.in_grace.release(member);
      const changed = before.meta === meta
        ? undefined
        : update(this.#state, tenant_id, room_id, connection_id, meta, now_ms);
      this.#changed();
      return changed === undefined ? NOTHING : { joined: [changed], left: [] };
    }
    const held = this.in_grace.of(member);
    // A held member leaves its place to the new one.
    if (held !== undefined) this.#members.add(tenant_id, 1);
    else if (!this.#members.take(tenant_id)) {
      throw memberLimit("the tenant on this node", this.#members.of(tenant_id));
    }
    const entry = join(this.#state, member, now_ms, joined_ms);
    const left = held === undefined ? [] : this.#leave(held, held.reason);
    this.#changed();
    return { joined: [entry], left };
  }

  /** Removes a connection from a room, or holds it if it was lost and the room has a grace time. */
  leave(
    member: MemberRef,
    deliberate: boolean,
    reason: LeaveReason = deliberate ? "unsubscribed" : "lost",
  ): readonly Entry[] {
    const entry = this.entry(member);
    if (entry === undefined) return [];
    const grace_ms = deliberate || this.#leaving ? 0 : this.#grace_ms(member.room_id);
    // Brains remove the member once this process has ended, unless it returned on another Shield.
    if (this.#moving && !deliberate && grace_ms <= this.#options.config.move_grace_ms) return [];
    if (grace_ms > 0) {
      this.in_grace.add(entry, grace_ms, reason);
      this.#changed();
      return [];
    }
    return this.#leave(member, reason);
  }

  heartbeat(): void {
    this.#cancelSend?.();
    this.#send();
  }

  /** Announces the changes that wait, if any do. */
  announce(): void {
    if (this.#cancelSend !== undefined) this.heartbeat();
  }

  /** Announces stays that may be missing in a journal; after the leaves, most of which Brains record. */
  tellStays(): void {
    for (const message of this.unconfirmed.due()) this.#options.port.send(this.#subject, message);
  }

  onHello(): void {
    // A scheduled announcement answers it, too.
    if (this.#cancelSend === undefined) this.#sendSoon();
  }

  /** Answers a process that has missed something. */
  onPull({ from, request, writer, clock }: Pull): void {
    const since = deltaSince(this.#state, writer, clock);
    const parts = since === undefined ? [undefined] : deltaPages(since.delta, MESSAGE_BYTES);
    const full = since?.full ?? false;
    const { length: pages } = parts;
    const sent = this.#answers.send(
      processSubject("direct", from),
      parts.map((delta, page) => ({ kind: "pulled", request, page, pages, full, delta })),
    );
    const form = since === undefined ? "unknown" : full ? "full" : "delta";
    // A process without an answer asks again.
    bump(this.#options.stats.answers, sent ? form : "busy");
  }

  /** Takes a Brain's view of this node. If the node was forgotten, it takes a new incarnation. */
  onBeat({ brain_id, writers }: Beat): void {
    const { node_id, incarnation } = this.writer;
    if (this.#leaving) return;
    for (const { writer, clock, state } of writers) {
      if (writer.node_id !== node_id || writer.incarnation < incarnation) continue;
      const is_ours = writer.incarnation === incarnation;
      if (is_ours && state !== "forgotten" && clock <= this.#clock()) continue;
      this.#reincarnate(brain_id, writer.incarnation);
      return;
    }
  }

  /** Holds members of connections that end from now on: their clients may return on another Shield. */
  beginMove(): void {
    this.#moving = this.#options.config.move_grace_ms > 0;
  }

  /** Announces with every heartbeat from now on that this process stops: its members leave, some after their grace. */
  leaveAll(): void {
    this.#leaving = true;
    this.#cancelSend?.();
    this.in_grace.clear();
    this.#send();
    this.#count();
  }

  close(): void {
    this.#cancelSend?.();
    this.in_grace.clear();
    this.#answers.close();
  }

  #clock(): number {
    return clockOf(this.#state, this.writer) ?? 0;
  }

  #grace_ms(room_id: string): number {
    const { grace } = this.#options.config;
    return grace.find(({ room }) => matchesRoomPattern(room, room_id))?.grace_ms ?? 0;
  }

  #leave(member: MemberRef, reason: LeaveReason): readonly Entry[] {
    this.in_grace.release(member);
    const announced = heartbeatDelta(this.#state).end;
    const left = leave(this.#state, member.tenant_id, member.room_id, member.connection_id);
    // Without a known end the journal records "unknown".
    if (left !== undefined && this.#reasons.size < REASONS_MAX) {
      this.#reasons.set(left.counter, reason);
    }
    const { isJournaled, port } = this.#options;
    if (left !== undefined && isJournaled?.(member.tenant_id, member.room_id)) {
      const stay = this.unconfirmed.add(this.writer, left, reason, port.now());
      const is_brief = left.counter > announced && this.#brief.length < BRIEF_MAX;
      if (is_brief) this.#brief.push(stay);
    }
    if (left !== undefined) this.#members.add(left.tenant_id, -1);
    this.#changed();
    return left === undefined ? [] : [left];
  }

  #count(): void {
    const { stats } = this.#options;
    stats.members = this.#leaving ? 0 : memberCount(this.#state);
    stats.held_members = this.in_grace.size;
  }

  #changed(): void {
    this.#count();
    if (this.#leaving || this.#cancelSend !== undefined) return;
    if (heartbeatDelta(this.#state).end < this.#clock()) this.#sendSoon();
  }

  /** Announces now, or when the interval since the last announcement has passed. */
  #sendSoon(): void {
    const { port, config } = this.#options;
    const wait_ms = this.#sent_ms + config.announce_ms - port.now();
    if (wait_ms <= 0) this.#send();
    else this.#cancelSend = port.after(wait_ms, () => this.#send());
  }

  #send(): void {
    this.#cancelSend = undefined;
    const { port, stats } = this.#options;
    this.#sent_ms = port.now();
    const delta = takeDelta(this.#state);
    if (delta === undefined) stats.heartbeats++;
    else stats.announced_changes += delta.end - delta.start;
    const parts: readonly Delta[] = delta === undefined
      ? [heartbeatDelta(this.#state)]
      : splitDelta(delta, MESSAGE_BYTES);
    const reasons = this.#reasons;
    this.#reasons = new Map();
    for (const [index, part] of parts.entries()) {
      const leaving = this.#leaving && index === parts.length - 1;
      if (delta !== undefined) stats.announcements++;
      port.send(this.#subject, {
        kind: "announcement",
        delta: part,
        leaving,
        ...(reasons.size > 0 && { reasons }),
      });
    }
    const stays = this.#brief.splice(0);
    if (stays.length > 0) port.send(this.#subject, { kind: "stays", stays, missed: [] });
  }

  /**
   * The step above a younger incarnation if the clock is behind it. Two incarnations of this node may both see the same
   * younger one, and must not take the same number.
   */
  #leap(): number {
    return 1 + Math.floor(this.#options.port.random() * LEAP_MS);
  }

  /** Takes a new incarnation and announces all members under it, from the beginning. */
  #reincarnate(brain_id: string, given_up: number): void {
    const { node_id, port, stats, log } = this.#options;
    const now_ms = port.now();
    const before = [...entriesOf(this.#state, this.writer)];
    const incarnation = now_ms > given_up ? now_ms : given_up + this.#leap();
    this.#state = createState({ node_id, incarnation });
    for (const { joined_ms, changed_ms: _, counter: __, ...member } of before) {
      join(this.#state, member, joined_ms);
      const { tenant_id, room_id, connection_id, meta } = member;
      // The time of joining stays; only the announcement is new.
      update(this.#state, tenant_id, room_id, connection_id, meta, now_ms);
    }
    stats.reincarnations++;
    const recent_ms = this.#reincarnated_ms.filter((ms) => now_ms - ms < REINCARNATION_MS);
    this.#reincarnated_ms = [...recent_ms, now_ms];
    const fields = { node_id, incarnation, brain_id, members: before.length };
    if (this.#reincarnated_ms.length > REINCARNATIONS_MAX) {
      log.error("another process uses this node id: each needs its own [server] node_id", fields);
    } else {
      log.warn("the cluster had dropped this node; its members are announced again", fields);
    }
    this.heartbeat();
  }
}

/** The most queued stays; beyond that, the first of a tenant with many is dropped and counted as missed in its room. */
export const STAYS_MAX = 10_000;
/** The most rooms with a count of missed stays; those of further rooms are counted only in a metric. */
export const MISSED_ROOMS_MAX = 1_000;
const MESSAGE_STAYS = 256;
const HEARTBEAT_STAYS = 2_048;

/** Counts of dropped stays. */
interface StaysStats {
  stays: number;
  stays_missed: number;
}

const keyOf = ({ writer, counter }: Tag): string => `${writerKey(writer)}/${counter}`;
const roomOf = ({ tenant_id, room_id }: Pick<Entry, "tenant_id" | "room_id">): string =>
  `${tenant_id}/${room_id}`;

/** The unconfirmed stays of one Shield. */
export class Unconfirmed {
  readonly #stats: StaysStats;
  /** Unconfirmed stays, longest waiting first. */
  readonly #stays = new FairMap<Stay>(STAYS_MAX, ({ entry }) => entry.tenant_id);
  readonly #missed = new Map<string, MissedStays>();

  constructor(stats: StaysStats) {
    this.#stats = stats;
  }

  add(writer: Writer, entry: Entry, cause: LeaveReason, now_ms: number): Stay {
    const stay = { writer, entry: { ...entry, meta: "", changed_ms: now_ms }, cause };
    const dropped = this.#stays.set(keyOf({ writer, counter: entry.counter }), stay);
    if (dropped !== undefined) this.#miss(dropped.entry);
    this.#count();
    return stay;
  }

  /** The stays to announce now, oldest first, in messages of limited size. */
  *due(): Generator<Stays> {
    const missed = [...this.#missed.values()];
    const due = [...this.#stays.entries().take(HEARTBEAT_STAYS)];
    // Reported stays move to the end, so that a room whose journal accepts nothing does not block the others.
    for (const [key, stay] of due) this.#stays.set(key, stay);
    const stays = due.map(([, stay]) => stay);
    while (stays.length > 0 || missed.length > 0) {
      yield {
        kind: "stays",
        stays: stays.splice(0, MESSAGE_STAYS),
        missed: missed.splice(0, MESSAGE_STAYS),
      };
    }
  }

  /** Call it when a Brain has written them, or need not. */
  confirmed({ stays, missed }: Pick<StaysWritten, "stays" | "missed">): void {
    for (const tag of stays) this.#stays.delete(keyOf(tag));
    for (const { count, to_ms, ...room } of missed) {
      const known = this.#missed.get(roomOf(room));
      if (known === undefined) continue;
      // More may have been added since.
      const rest = known.count - count;
      if (rest <= 0) this.#missed.delete(roomOf(room));
      else this.#missed.set(roomOf(room), { ...known, count: rest, from_ms: to_ms });
    }
    this.#count();
  }

  #miss({ tenant_id, room_id, joined_ms, changed_ms }: Entry): void {
    this.#stats.stays_missed++;
    const key = roomOf({ tenant_id, room_id });
    const known = this.#missed.get(key);
    if (known === undefined && this.#missed.size >= MISSED_ROOMS_MAX) return;
    const { count, from_ms, to_ms } = known ?? { count: 0, from_ms: joined_ms, to_ms: changed_ms };
    this.#missed.set(key, {
      tenant_id,
      room_id,
      count: count + 1,
      from_ms: Math.min(from_ms, joined_ms),
      to_ms: Math.max(to_ms, changed_ms),
    });
  }

  #count(): void {
    this.#stats.stays = this.#stays.size;
  }
}

/** The retry time of a refused client, in ms. */
const RETRY_MS = 1_000;

/** The refusal `member-limit` (429). `where` names the limit for the client and contains no secrets. */
export const memberLimit = (where: string, members: number): ArqonError =>
  new ArqonError("member-limit", `${where} has ${plural(members, "member")}`, {
    retry_after_ms: RETRY_MS,
  });

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
const graceKey = (tenant_id: string, room_id: string, name: string): string =>
  `${tenant_id}\n${room_id}\n${name}`;
const memberKey = ({ tenant_id, room_id, connection_id }: MemberRef): string =>
  graceKey(tenant_id, room_id, connection_id);

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
      put(this.#by_user, graceKey(tenant_id, room, user_id), hold);
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
    const holds = this.#by_user.get(graceKey(tenant_id, room_id, user_id));
    return holds?.values().find((hold) => hold.issuer === issuer);
  }

  /** Ends the grace times of a user, or of a connection in a room, at once. */
  endOf(tenant_id: string, room_id: string, target: string): void {
    const key = graceKey(tenant_id, room_id, target);
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
      remove(this.#by_user, graceKey(hold.tenant_id, room, hold.user_id), hold);
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
