/**
 * Writes the journal of one room's members: compares the journal with presence, and appends the differences, one entry
 * after the other, each with the expected last entry. So if two Brains both believe that they own the room, one is
 * refused, reads again, and finds nothing to write. `service.ts` selects the rooms and passes on changes.
 */
import { ArqonError } from "@arqon/proto";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import type { Env } from "../../shared/env.ts";
import {
  BookReader,
  dueFor,
  dueTurn,
  emptyBook,
  listOf,
  take,
} from "../../shared/membership/book.ts";
import type { Book } from "../../shared/membership/book.ts";
import { readStored } from "../../shared/membership/entry.ts";
import type {
  MembershipChange,
  MembershipEntry,
  RecordedMember,
} from "../../shared/membership/entry.ts";
import type { MissedStays, Stay } from "../../shared/presence/messages.ts";
import { takeBack, type TenantDeletions } from "../../shared/records/tenant_deletions.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { DurableLog, LogMessage, LogPage } from "../../shared/spine/contract/durable_log.ts";
import { pagesBack } from "../../shared/spine/contract/read_page.ts";
import { tagKey } from "./kept_stays.ts";
import { PastLeaves } from "./past_leaves.ts";

/** Changes after which all members are listed again, so that a new owner reads no more than that. */
const LIST_EVERY = 256;
/** A list is repeated after this part of the log's retention. */
const LIST_PART = 1 / 4;
/** The most connections of a room that wait for a check. */
const TOUCHED_MAX = 10_000;
/** The most pending stays; Shields repeat the reports of others. */
const STAYS_MAX = 10_000;
const PAST_PAGES = 64;
/** The most Shields whose last written report of missed members is remembered. */
const MISSED_SHIELDS_MAX = 1_000;
/** A page of the journal. */
const READ = { limit: 512, max_bytes: 1_048_576 };
/** The most entries that are written without asking whether the tenant was deleted. */
const UNPROVEN_MAX = 64;
const RETRY_MS = 250;
const RETRY_MAX_MS = 10_000;

interface RoomRecorderOptions extends Pick<Env, "log" | "now"> {
  readonly tenant_id: string;
  readonly room_id: string;
  /** The room that contains the journal. */
  readonly members_room_id: string;
  /** Rejects as `Spine.log`. */
  readonly openLog: () => Promise<DurableLog>;
  /** Whether this Brain owns the room. */
  readonly owns: () => boolean;
  /** Whether this Brain knows all members, so that an unknown one has left. */
  readonly isCertain: () => boolean;
  readonly memberOf: (connection_id: string) => RecordedMember | undefined;
  readonly connections: () => Iterable<string>;
  readonly deletions: Pick<TenantDeletions, "known" | "isDeleted" | "isPast">;
  /** Whether the member's Shield is up in the same incarnation. */
  readonly isUp: (member: RecordedMember) => boolean;
  /** Records that the room has members, before the first one is in the journal. */
  readonly noteOpen: () => Promise<void>;
  /** Records that the room is empty, after that is in the journal. */
  readonly noteClosed: () => Promise<void>;
  readonly encode: (entry: MembershipEntry) => Uint8Array;
  readonly onWritten: (entry: MembershipEntry) => void;
  readonly onFailure: () => void;
  /** Called when they are in the journal, or cannot be: they need not be kept or reported any longer. */
  readonly onSettled: (stay: Stay | ShieldMissed) => void;
  /** Called for a member that seemed to have left, and is present. */
  readonly onThere: (stay: Stay) => void;
  /** The first pause after a failure, in ms; absent: 250. */
  readonly retry_ms?: number;
}

/** The members that left a Shield and that it could not keep. */
export interface ShieldMissed extends MissedStays {
  readonly node_id: string;
}

const stayKey = ({ writer, entry: { counter } }: Stay): string => tagKey({ writer, counter });

/** The owner's writer of one room's journal. */
export class RoomRecorder {
  readonly #options: RoomRecorderOptions;
  /** Connections to check, and the reason if they left. */
  readonly #touched = new Map<string, LeaveReason>();
  /** Stays reported by Shields; and, by Shield, the number that it could not report. */
  readonly #stays = new Map<string, Stay>();
  /** Leaves detected by presence. */
  readonly #gone = new Map<string, Stay>();
  /** The number of these that were dropped, by Shield. */
  readonly #dropped = new Map<string, ShieldMissed>();
  readonly #missed = new Map<string, ShieldMissed>();
  /** The last written report of `#missed`, by Shield. */
  readonly #reported = new BoundedMap<string, string>(MISSED_SHIELDS_MAX);
  readonly #past = new PastLeaves();
  /** The journal was read in vain for leaves since this time, or earlier. */
  #in_vain_ms = -Infinity;
  #everybody = true;
  /** Undefined: the journal has to be read. */
  #book: Book | undefined;
  /** Another Brain that believed that it owned the room may have written since. */
  #is_doubted = false;
  #durable: DurableLog | undefined;
  /** The offset of the last message, and of the last one that was erased. */
  #last = 0;
  #erased = 0;
  /** The newest deletion of the tenant before the journal was read. */
  #deletion = 0;
  /** Offsets of entries that may have been written after a later deletion. */
  #unproven: number[] = [];
  /** When all members were last listed, Unix ms; and the log's retention. */
  #listed_ms = 0;
  #ttl_ms = Infinity;
  #is_noted = false;
  #running: Promise<void> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly #first_ms: number;
  #retry_ms: number;
  #is_closed = false;

  constructor(options: RoomRecorderOptions) {
    this.#options = options;
    this.#first_ms = this.#retry_ms = options.retry_ms ?? RETRY_MS;
  }

  /** True if there is nothing to write until a member joins. */
  get is_idle(): boolean {
    return this.#running === undefined && this.#retry === undefined && !this.#everybody &&
      this.#due + this.#gone.size + this.#dropped.size === 0 && this.#book?.occupied === false;
  }

  /** Connections that are not written yet. */
  get waiting(): number {
    return this.#touched.size + this.#stays.size + this.#gone.size;
  }

  /** The number of entries that wait only for the log. */
  get #due(): number {
    return this.#touched.size + this.#stays.size + this.#missed.size;
  }

  /** Adds a stay that its Shield reports until `onSettled`. */
  stay(stay: Stay): void {
    const key = stayKey(stay);
    this.#gone.delete(key);
    if (this.#stays.size < STAYS_MAX) this.#stays.set(key, stay);
    this.#run();
  }

  /** Adds a leave detected by a Brain, which keeps it until `onSettled`. */
  gone(stay: Stay): void {
    const key = stayKey(stay);
    if (this.#stays.has(key)) return;
    if (this.#gone.size < STAYS_MAX) this.#gone.set(key, stay);
    this.#run();
  }

  /** Replaces a dropped leave, of too many, by a count. */
  dropped(stay: Stay): void {
    this.#gone.delete(stayKey(stay));
    const { writer: { node_id }, entry: { tenant_id, room_id, joined_ms, changed_ms } } = stay;
    const known = this.#dropped.get(node_id);
    if (known === undefined && this.#dropped.size >= MISSED_SHIELDS_MAX) return;
    const { count, from_ms, to_ms } = known ?? { count: 0, from_ms: joined_ms, to_ms: changed_ms };
    this.#dropped.set(node_id, {
      tenant_id,
      room_id,
      node_id,
      count: count + 1,
      from_ms: Math.min(from_ms, joined_ms),
      to_ms: Math.max(to_ms, changed_ms),
    });
  }

  /** Records the number of members that left a Shield and that it could not keep. */
  missed(missed: ShieldMissed): void {
    this.#missed.set(missed.node_id, missed);
    this.#run();
  }

  /** Records that a connection may have joined or left. */
  touch(connection_id: string, cause: LeaveReason): void {
    // While the log refuses writes: all members are compared later, and the reasons of leaves are lost.
    if (this.#touched.size >= TOUCHED_MAX) {
      this.#touched.clear();
      this.#everybody = true;
    }
    const known = this.#touched.get(connection_id);
    if (known === undefined || known === "unknown") this.#touched.set(connection_id, cause);
    this.#run();
  }

  /**
   * Compares all members: this Brain has become the owner, or may have missed changes. Failed writes are retried now,
   * because something has changed since.
   */
  compare(): void {
    this.#everybody = this.#is_doubted = true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#run();
  }

  /** Lists all members again before the last list expires. */
  sweep(): void {
    if (this.#book !== undefined && this.#isOld(this.#book)) this.#run();
  }

  /**
   * Whether the last list of all members will soon expire. Also if it is in the future: the clock was set back, and
   * would delay the next list by that time.
   */
  #isOld({ occupied }: Book): boolean {
    const age_ms = Math.abs(this.#options.now() - this.#listed_ms);
    return occupied && age_ms > this.#ttl_ms * LIST_PART;
  }

  /** Stops writing; resolves when the write under way is answered. */
  async close(): Promise<void> {
    this.#is_closed = true;
    clearTimeout(this.#retry);
    await this.#running;
  }

  #run(): void {
    if (this.#is_closed || this.#running !== undefined || this.#retry !== undefined) return;
    this.#running = this.#write().finally(() => this.#prove()).then(() => {
      this.#retry_ms = this.#first_ms;
      return undefined;
    }, (error: unknown) => this.#failed(error)).then((wait_ms) => {
      this.#running = undefined;
      if (this.#is_closed || !this.#options.owns()) return;
      if (wait_ms !== undefined) this.#later(wait_ms);
      else if (this.#everybody) this.#later(this.#first_ms);
      else if (this.#due > 0) this.#run();
      else if (this.#gone.size > 0) this.#later(this.#first_ms);
    });
  }

  #later(wait_ms: number): void {
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#run();
    }, wait_ms);
  }

  /** Handles a failure: possibly stored entries are found by reading again. Returns the wait in ms. */
  #failed(error: unknown): number {
    this.#everybody = true;
    const { log, tenant_id, room_id, onFailure } = this.#options;
    // Nothing was stored: another Brain has written, or the last entry was erased.
    this.#is_doubted = isConflict(error);
    if (this.#is_doubted) return this.#first_ms;
    this.#book = undefined;
    onFailure();
    log.warn("a room's membership is not written yet", { tenant_id, room: room_id, error });
    return this.#retry_ms = Math.min(RETRY_MAX_MS, this.#retry_ms * 2);
  }

  async #write(): Promise<void> {
    const { owns, isCertain, connections } = this.#options;
    // A new iterator for each would skip the holes of all before it: seconds in a room of 100,000.
    let touched = this.#touched.entries();
    while (owns() && !this.#is_closed) {
      if (this.#is_doubted && await this.#isOutdated()) this.#book = undefined;
      const book = this.#book ??= await this.#read();
      // A Shield's report about its own members is valid, even if this Brain has no presence of them.
      await this.#settleStays(book);
      if (this.#everybody) {
        // Otherwise an unknown member may still be present.
        if (!isCertain()) return;
        this.#everybody = false;
        for (const id of book.members.keys()) this.#look(id);
        for (const id of connections()) this.#look(id);
      }
      let { value: next } = touched.next();
      if (next === undefined) {
        touched = this.#touched.entries();
        next = touched.next().value;
      }
      if (next !== undefined) await this.#settle(book, ...next);
      if (this.#touched.size === 0) await this.#settleGone(book);
      await this.#turn(book);
      if (book.since_list >= LIST_EVERY || this.#isOld(book)) await this.#list(book);
      if (this.#touched.size + this.#stays.size === 0 && !this.#everybody) return;
    }
    // It has another owner, whose writes are unknown here.
    if (!owns()) this.#forget();
  }

  #look(connection_id: string): void {
    if (!this.#touched.has(connection_id)) this.#touched.set(connection_id, "unknown");
  }

  #forget(): void {
    this.#book = undefined;
    this.#touched.clear();
    this.#stays.clear();
    this.#gone.clear();
    this.#missed.clear();
    this.#dropped.clear();
    this.#everybody = true;
    this.#is_noted = false;
  }

  async #settle(book: Book, connection_id: string, cause: LeaveReason): Promise<void> {
    const { memberOf, now, isUp } = this.#options;
    const member = memberOf(connection_id);
    const known = book.members.get(connection_id);
    const is_lost = cause === "unknown" && known !== undefined && !isUp(known);
    const now_known = { member, cause: is_lost ? "node-lost" as const : cause };
    const due = dueFor(book, connection_id, now_known, now());
    if (due?.type === "joined") await this.#note();
    if (due !== undefined) await this.#change(book, due);
    // Changes that arrived meanwhile are checked again.
    if (this.#touched.get(connection_id) === cause) this.#touched.delete(connection_id);
    const is_there = memberOf(connection_id) !== undefined;
    if (is_there !== book.members.has(connection_id)) this.#look(connection_id);
  }

  /**
   * Writes that the room became occupied or vacated. Not before the other pending entries: a leave may follow a join.
   */
  async #turn(book: Book): Promise<void> {
    const { now, noteClosed } = this.#options;
    if (book.members.size === 0 && this.#touched.size > 0) return;
    const due = dueTurn(book, now());
    if (due === undefined) return;
    await this.#change(book, due);
    if (due.type !== "vacated") return;
    await noteClosed();
    this.#is_noted = false;
  }

  /**
   * Writes the stays that Shields reported, in the order of their leaves; those that wait for presence are reported
   * again.
   */
  async #settleStays(book: Book): Promise<void> {
    const { onSettled, owns } = this.#options;
    for (const [key, stay] of this.#stays) {
      if (!owns() || this.#is_closed) return;
      const is_settled = await this.#settleStay(book, stay);
      this.#stays.delete(key);
      if (is_settled) onSettled(stay);
    }
    for (const [node_id, missed] of this.#missed) {
      if (!owns() || this.#is_closed) return;
      // The answer to its write may have been lost.
      const report = JSON.stringify(missed);
      if (this.#reported.get(node_id) !== report) await this.#miss(book, missed);
      this.#reported.set(node_id, report);
      if (this.#missed.get(node_id) === missed) this.#missed.delete(node_id);
      onSettled(missed);
    }
  }

  /** Writes leaves detected by presence: after the present members, which account for most of them. */
  async #settleGone(book: Book): Promise<void> {
    const { onSettled, onThere, owns, isCertain } = this.#options;
    for (const [key, stay] of this.#gone) {
      if (!owns() || this.#is_closed || !isCertain()) return;
      const is_settled = await this.#settleStay(book, stay);
      this.#gone.delete(key);
      if (is_settled) onSettled(stay);
      else onThere(stay);
    }
    for (const [node_id, missed] of this.#dropped) {
      if (!owns() || this.#is_closed) return;
      await this.#miss(book, missed);
      if (this.#dropped.get(node_id) === missed) this.#dropped.delete(node_id);
    }
  }

  /** False: presence does not know it yet. */
  async #settleStay(book: Book, stay: Stay): Promise<boolean> {
    const { memberOf, now } = this.#options;
    const { entry, cause } = stay;
    const { connection_id, joined_ms, changed_ms: left_ms } = entry;
    const isIt = (member: RecordedMember | undefined) => member?.joined_ms === joined_ms;
    if (this.#isPast(joined_ms)) return true;
    // It may be moving to another Shield, or its leave is not received yet.
    if (isIt(memberOf(connection_id))) return false;
    const leave = async () => {
      const due = dueFor(book, connection_id, { member: undefined, cause, left_ms }, now());
      if (due !== undefined) await this.#change(book, due);
    };
    const known = book.members.get(connection_id);
    if (isIt(known)) {
      await leave();
      this.#look(connection_id);
      return true;
    }
    if (this.#past.has(entry)) return true;
    if (!this.#past.coversFrom(PastLeaves.needed(left_ms))) await this.#readPast(left_ms);
    if (this.#past.has(entry)) return true;
    // It must not follow a later stay of the connection, and it may already be written if earlier leaves are unknown.
    if (known !== undefined || !this.#past.covers(stay)) {
      const { tenant_id, room_id } = entry;
      const room = { tenant_id, room_id, node_id: stay.writer.node_id };
      await this.#miss(book, { ...room, count: 1, from_ms: joined_ms, to_ms: left_ms });
      return true;
    }
    await this.#note();
    const { user_id, issuer } = entry;
    const member = { user_id, issuer, connection_id, joined_ms, ...stay.writer };
    const due = dueFor(book, connection_id, { member, cause }, now());
    if (due !== undefined) await this.#change(book, due);
    await this.#turn(book);
    await leave();
    this.#look(connection_id);
    return true;
  }

  /** Whether it is about members of a tenant that was deleted since. */
  #isPast(time_ms: number): boolean {
    const { deletions, tenant_id } = this.#options;
    return deletions.isPast(tenant_id, time_ms);
  }

  async #miss(book: Book, { count, from_ms, to_ms, node_id }: ShieldMissed): Promise<void> {
    if (this.#isPast(from_ms)) return;
    const { sequence } = book;
    const data = { sequence, at_ms: this.#options.now(), count, from_ms, to_ms, node_id };
    await this.#append({ type: "missed", data });
  }

  /** Records the room as occupied before the first member is written. */
  async #note(): Promise<void> {
    if (this.#is_noted) return;
    await this.#options.noteOpen();
    this.#is_noted = true;
  }

  async #change(book: Book, entry: MembershipChange): Promise<void> {
    await this.#append(entry);
    take(book, entry);
    this.#past.take(entry);
  }

  async #list(book: Book): Promise<void> {
    const now_ms = this.#options.now();
    for (const page of listOf(book, now_ms)) await this.#append(page);
    book.since_list = 0;
    this.#listed_ms = now_ms;
  }

  async #append(entry: MembershipEntry): Promise<void> {
    const { members_room_id, encode, onWritten } = this.#options;
    const durable = this.#durable as DurableLog;
    const { offset } = await durable.append(members_room_id, encode(entry), {
      expected_last: this.#last,
    });
    this.#last = offset;
    this.#unproven.push(offset);
    if (this.#unproven.length >= UNPROVEN_MAX) await this.#prove();
    onWritten(entry);
  }

  /** Removes what was appended after the tenant was deleted; rejects with `version-conflict` then. */
  async #prove(): Promise<void> {
    const { deletions, tenant_id, members_room_id } = this.#options;
    const offsets = this.#unproven;
    if (offsets.length === 0) return;
    const is_deleted = await deletions.isDeleted(tenant_id, this.#deletion);
    if (is_deleted) await takeBack(this.#durable as DurableLog, members_room_id, offsets);
    this.#unproven = [];
    if (!is_deleted) return;
    this.#book = undefined;
    throw new ArqonError("version-conflict", "the tenant was deleted");
  }

  /** Whether the journal has to be read: for the first time, or after another writer. */
  async #isOutdated(): Promise<boolean> {
    this.#is_doubted = false;
    if (this.#book === undefined) return true;
    const { last, erased = 0 } = await this.#durable!.head(this.#options.members_room_id);
    if (last !== undefined && erased > this.#erased && erased <= this.#last) {
      // What is left of its own entries does not say who is present: a list does.
      this.#erased = erased;
      this.#last = Math.min(this.#last, last.offset);
      this.#book.since_list = LIST_EVERY;
    }
    return (last?.offset ?? 0) !== this.#last;
  }

  /** Reads the journal back to the last list of all members, or to its beginning. */
  async #read(): Promise<Book> {
    const { openLog, members_room_id, now, deletions, tenant_id } = this.#options;
    await this.#prove();
    this.#deletion = deletions.known(tenant_id);
    const durable = this.#durable = await openLog();
    this.#ttl_ms = (await durable.status()).history_ttl_seconds * 1_000;
    this.#listed_ms = now();
    const { last, erased = 0 } = await durable.head(members_room_id);
    this.#last = last?.offset ?? 0;
    this.#erased = erased;
    // Earlier leaves are read on demand.
    this.#past.begin(last === undefined ? 0 : Infinity);
    this.#in_vain_ms = -Infinity;
    if (last === undefined) {
      // The record that it has members went with an erased journal.
      this.#is_noted = false;
      return emptyBook();
    }
    let messages: readonly LogMessage[] = [];
    let reader = new BookReader();
    for await (const page of this.#pagesBack()) {
      messages = [...page.messages, ...messages];
      reader = bookOf(messages);
      if (reader.is_whole) break;
    }
    // Its entries may be older than this Brain and expire all the same.
    this.#listed_ms = reader.whole_ms;
    return reader.book;
  }

  /** Pages of the journal from its last entry back. Rejects if its replica does not have that one yet. */
  async *#pagesBack(): AsyncGenerator<LogPage, void> {
    const { members_room_id } = this.#options;
    const from = { before: this.#last + 1, ...READ };
    let missing = this.#last;
    for await (const page of pagesBack(this.#durable as DurableLog, members_room_id, from)) {
      if (missing > 0 && page.messages.at(-1)?.offset !== missing) break;
      missing = 0;
      yield page;
    }
    if (missing > 0) throw new ArqonError("log-unavailable", "its reading is behind its writing");
  }

  /** Reads the leaves since a time before that, at most `PAST_PAGES` pages. */
  async #readPast(left_ms: number): Promise<void> {
    const needed_ms = PastLeaves.needed(left_ms);
    if (needed_ms <= this.#in_vain_ms) return;
    const pages: (readonly LogMessage[])[] = [];
    let since_ms = Infinity;
    for await (const { messages, more } of this.#pagesBack()) {
      pages.unshift(messages);
      const [oldest] = messages;
      since_ms = more && oldest !== undefined ? oldest.time_ms : 0;
      if (since_ms <= needed_ms || pages.length === PAST_PAGES) break;
    }
    this.#past.begin(since_ms);
    for (const { payload } of pages.flat()) {
      const entry = readStored(payload);
      if (entry !== undefined) this.#past.take(entry);
    }
    if (!this.#past.coversFrom(needed_ms)) this.#in_vain_ms = needed_ms;
  }
}

function bookOf(messages: readonly LogMessage[]): BookReader {
  const reader = new BookReader();
  for (const { payload } of messages) {
    const entry = readStored(payload);
    if (entry !== undefined) reader.read(entry);
  }
  return reader;
}
