/**
 * Keeps the journal of one room's members: compares what is there with who is there, and appends
 * what is due, one entry after the other, each behind the one that it knows to be the last. So of two
 * Brains that both think the room theirs one is refused, reads again, and finds nothing left to say.
 * Which rooms, and what is heard of them, is `service.ts`.
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
import type { MissedStays, Stay } from "../../shared/presence/messages.ts";
import type {
  MembershipChange,
  MembershipEntry,
  RecordedMember,
} from "../../shared/membership/entry.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import type { DurableLog, LogMessage } from "../../shared/spine/contract/durable_log.ts";
import { tagKey } from "./kept_stays.ts";
import { PastLeaves } from "./past_leaves.ts";

/** Changes after which everybody is listed anew, so that who takes over reads no more than that. */
const LIST_EVERY = 256;
/** A list is written anew after this part of the time for which messages are kept. */
const LIST_PART = 1 / 4;
/** Connections of a room that wait to be looked at, at most. */
const TOUCHED_MAX = 10_000;
/** Stays that wait, at most; their Shields report others again. */
const STAYS_MAX = 10_000;
/** Pages that are read to know who left lately. */
const PAST_PAGES = 64;
/** Shields of whose missed members it is known that they are there. */
const MISSED_SHIELDS_MAX = 1_000;
const READ_MESSAGES = 512;
const READ_BYTES = 1_048_576;
const RETRY_MS = 250;
const RETRY_MAX_MS = 10_000;

/** What recording one room needs. */
export interface RoomRecorderOptions extends Pick<Env, "log" | "now"> {
  /** For the log; the tenant and the room. */
  readonly tenant_id: string;
  readonly room_id: string;
  /** The room in which the journal stands. */
  readonly members_room_id: string;
  /** Rejects as `Spine.log`. */
  readonly openLog: () => Promise<DurableLog>;
  /** Whether this Brain speaks for the room. */
  readonly owns: () => boolean;
  /** Whether this Brain knows of everybody who is there, so that whoever it does not know has left. */
  readonly isCertain: () => boolean;
  readonly memberOf: (connection_id: string) => RecordedMember | undefined;
  readonly connections: () => Iterable<string>;
  /** Whether the Shield that had the member still lives that life. */
  readonly isUp: (member: RecordedMember) => boolean;
  /** Notes that the room has members, before the first one is in the journal. */
  readonly noteOpen: () => Promise<void>;
  /** Notes that it has none, after that is in the journal. */
  readonly noteClosed: () => Promise<void>;
  readonly encode: (entry: MembershipEntry) => Uint8Array;
  readonly onWritten: (entry: MembershipEntry) => void;
  readonly onFailure: () => void;
  /** These are in the journal, or cannot: nobody need keep or report them any longer. */
  readonly onSettled: (stay: Stay | ShieldMissed) => void;
  /** This one seemed to have left, and is there. */
  readonly onThere: (stay: Stay) => void;
  /** The first pause after what failed, in ms; absent: a quarter of a second. */
  readonly retry_ms?: number;
}

/** Who left a Shield and was too much for it. */
export interface ShieldMissed extends MissedStays {
  readonly node_id: string;
}

const stayKey = ({ writer, entry: { counter } }: Stay): string => tagKey({ writer, counter });

/** The journal of one room, as its owner writes it. */
export class RoomRecorder {
  readonly #options: RoomRecorderOptions;
  /** Connections to look at, and why they left if they did. */
  readonly #touched = new Map<string, LeaveReason>();
  /** Stays that a Shield has reported; and how many it cannot report, by its id. */
  readonly #stays = new Map<string, Stay>();
  /** Members that have left as presence saw it. */
  readonly #gone = new Map<string, Stay>();
  /** How many of these were too many, by their Shield. */
  readonly #dropped = new Map<string, ShieldMissed>();
  readonly #missed = new Map<string, ShieldMissed>();
  /** What is there of `#missed`, the last of each Shield. */
  readonly #told = new BoundedMap<string, string>(MISSED_SHIELDS_MAX);
  readonly #past = new PastLeaves();
  /** To know of leaves from then on, or from before, the journal was read in vain. */
  #in_vain_ms = -Infinity;
  #everybody = true;
  /** Undefined: it has to be read. */
  #book: Book | undefined;
  /** Another Brain may have written since, which took the room for its own. */
  #is_doubted = false;
  #durable: DurableLog | undefined;
  /** The offset of the last message. */
  #last = 0;
  /** When everybody was listed last, Unix ms; and for how long messages are kept. */
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

  /** True when there is nothing to write, now or later, until somebody comes. */
  get is_idle(): boolean {
    return this.#running === undefined && this.#retry === undefined && !this.#everybody &&
      this.#due + this.#gone.size + this.#dropped.size === 0 && this.#book?.occupied === false;
  }

  /** Connections that wait to be written. */
  get waiting(): number {
    return this.#touched.size + this.#stays.size + this.#gone.size;
  }

  /** What is queued for nothing but the log. */
  get #due(): number {
    return this.#touched.size + this.#stays.size + this.#missed.size;
  }

  /** A member has left its Shield, which reports it until `onSettled`. */
  stay(stay: Stay): void {
    const key = stayKey(stay);
    this.#gone.delete(key);
    if (this.#stays.size < STAYS_MAX) this.#stays.set(key, stay);
    this.#run();
  }

  /** A member has left, as this Brain or another one saw it, which keeps it until `onSettled`. */
  gone(stay: Stay): void {
    const key = stayKey(stay);
    if (this.#stays.has(key)) return;
    if (this.#gone.size < STAYS_MAX) this.#gone.set(key, stay);
    this.#run();
  }

  /** One that had left is kept no longer, because there are too many: it is there as a number. */
  dropped(stay: Stay): void {
    this.#gone.delete(stayKey(stay));
    const { writer: { node_id }, entry: { tenant_id, room_id, joined_ms, changed_ms } } = stay;
    const known = this.#dropped.get(node_id);
    if (known === undefined && this.#dropped.size >= MISSED_SHIELDS_MAX) return;
    const { count, from_ms, to_ms } = known ?? { count: 0, from_ms: joined_ms, to_ms: changed_ms };
    this.#dropped.set(node_id, {
      ...{ tenant_id, room_id, node_id, count: count + 1 },
      from_ms: Math.min(from_ms, joined_ms),
      to_ms: Math.max(to_ms, changed_ms),
    });
  }

  /** Some have left that Shield, and it could not keep who. */
  missed(missed: ShieldMissed): void {
    this.#missed.set(missed.node_id, missed);
    this.#run();
  }

  /** A connection may have come or gone. */
  touch(connection_id: string, cause: LeaveReason): void {
    // While the log takes nothing: everybody is compared then, and nobody knows why who has gone went.
    if (this.#touched.size >= TOUCHED_MAX) {
      this.#touched.clear();
      this.#everybody = true;
    }
    const known = this.#touched.get(connection_id);
    if (known === undefined || known === "unknown") this.#touched.set(connection_id, cause);
    this.#run();
  }

  /**
   * Everybody is to be looked at: this Brain has become the owner, or may have missed something. What
   * failed before is tried again now, because something has changed since.
   */
  compare(): void {
    this.#everybody = this.#is_doubted = true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#run();
  }

  /** Lists everybody anew before the last list is too old to be kept. */
  sweep(): void {
    if (this.#book !== undefined && this.#isOld(this.#book)) this.#run();
  }

  /**
   * Whether the last list of everybody will soon be too old to be kept. Also when it is of a time to come:
   * the clock was set back, and would hold up the next list for as long.
   */
  #isOld({ occupied }: Book): boolean {
    const age_ms = Math.abs(this.#options.now() - this.#listed_ms);
    return occupied && age_ms > this.#ttl_ms * LIST_PART;
  }

  /** Writes nothing more; resolves when what is under way has its answer. */
  async close(): Promise<void> {
    this.#is_closed = true;
    clearTimeout(this.#retry);
    await this.#running;
  }

  #run(): void {
    if (this.#is_closed || this.#running !== undefined || this.#retry !== undefined) return;
    this.#running = this.#write().then(() => {
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

  /** What may have been stored is found by reading again. How long to wait, in ms. */
  #failed(error: unknown): number {
    this.#book = undefined;
    this.#everybody = true;
    const { log, tenant_id, room_id, onFailure } = this.#options;
    if (error instanceof ArqonError && error.reason === "version-conflict") return this.#first_ms;
    onFailure();
    log.warn("a room's membership is not written yet", { tenant_id, room: room_id, error });
    return this.#retry_ms = Math.min(RETRY_MAX_MS, this.#retry_ms * 2);
  }

  async #write(): Promise<void> {
    const { owns, isCertain, connections } = this.#options;
    while (owns() && !this.#is_closed) {
      if (this.#is_doubted && await this.#isOutdated()) this.#book = undefined;
      const book = this.#book ??= await this.#read();
      // A Shield knows of its own, whatever this Brain has heard.
      await this.#settleStays(book);
      if (this.#everybody) {
        // Who is not known yet has not left.
        if (!isCertain()) return;
        this.#everybody = false;
        for (const id of book.members.keys()) this.#look(id);
        for (const id of connections()) this.#look(id);
      }
      const [next] = this.#touched;
      if (next !== undefined) await this.#settle(book, ...next);
      if (this.#touched.size === 0) await this.#settleGone(book);
      await this.#turn(book);
      if (book.since_list >= LIST_EVERY || this.#isOld(book)) await this.#list(book);
      if (this.#touched.size + this.#stays.size === 0 && !this.#everybody) return;
    }
    // Another one's: what it writes is not known here.
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
    // What was heard of it meanwhile is looked at again.
    if (this.#touched.get(connection_id) === cause) this.#touched.delete(connection_id);
    const is_there = memberOf(connection_id) !== undefined;
    if (is_there !== book.members.has(connection_id)) this.#look(connection_id);
  }

  /** The room was empty, or is. Not before the others who wait: one who goes may follow one who comes. */
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

  /** What Shields have reported, the first that left first; those that wait for presence are reported again. */
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
      // Its answer may have been lost.
      const told = JSON.stringify(missed);
      if (this.#told.get(node_id) !== told) await this.#miss(book, missed);
      this.#told.set(node_id, told);
      if (this.#missed.get(node_id) === missed) this.#missed.delete(node_id);
      onSettled(missed);
    }
  }

  /** Members that left as presence saw it: after what is known of who is there, which has most of them. */
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

  /** False: presence has not heard of it yet. */
  async #settleStay(book: Book, stay: Stay): Promise<boolean> {
    const { memberOf, now } = this.#options;
    const { entry, cause } = stay;
    const { connection_id, joined_ms, changed_ms: left_ms } = entry;
    const isIt = (member: RecordedMember | undefined) => member?.joined_ms === joined_ms;
    // It may be on its way to another Shield, or the leave to this Brain.
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
    // Behind a later stay of the connection it has no place, and what is not known may be there.
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

  async #miss(book: Book, { count, from_ms, to_ms, node_id }: ShieldMissed): Promise<void> {
    const { sequence } = book;
    const data = { sequence, at_ms: this.#options.now(), count, from_ms, to_ms, node_id };
    await this.#append({ type: "missed", data });
  }

  /** Before the first member is there. */
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
    onWritten(entry);
  }

  /** Whether the journal is to be read, because it was not yet, or somebody else has written since. */
  async #isOutdated(): Promise<boolean> {
    this.#is_doubted = false;
    if (this.#book === undefined) return true;
    const last = (await this.#durable?.head(this.#options.members_room_id))?.last;
    return (last?.offset ?? 0) !== this.#last;
  }

  /** Reads the journal back to the last list of everybody, or to its beginning. */
  async #read(): Promise<Book> {
    const { openLog, members_room_id, now } = this.#options;
    const durable = this.#durable = await openLog();
    this.#ttl_ms = (await durable.status()).history_ttl_seconds * 1_000;
    this.#listed_ms = now();
    const { last } = await durable.head(members_room_id);
    this.#last = last?.offset ?? 0;
    // Read when somebody asks.
    this.#past.begin(last === undefined ? 0 : Infinity);
    this.#in_vain_ms = -Infinity;
    if (last === undefined) return emptyBook();
    let messages: readonly LogMessage[] = [];
    for (let before = last.offset + 1;;) {
      const page = await durable.readBack(members_room_id, {
        before,
        limit: READ_MESSAGES,
        max_bytes: READ_BYTES,
      });
      if (messages.length === 0 && page.messages.at(-1)?.offset !== last.offset) {
        throw new ArqonError("log-unavailable", "its reading is behind its writing");
      }
      messages = [...page.messages, ...messages];
      const { book, is_whole, whole_ms } = bookOf(messages);
      const [oldest] = page.messages;
      // What it counts from may be older than this Brain, and is kept no longer for that.
      this.#listed_ms = whole_ms;
      if (is_whole || !page.more || oldest === undefined) return book;
      before = oldest.offset;
    }
  }

  /** Reads who has left since some time before, at most `PAST_PAGES` pages. */
  async #readPast(left_ms: number): Promise<void> {
    const { members_room_id } = this.#options;
    const durable = this.#durable as DurableLog;
    const needed_ms = PastLeaves.needed(left_ms);
    if (needed_ms <= this.#in_vain_ms) return;
    const pages: (readonly LogMessage[])[] = [];
    let since_ms = Infinity;
    for (let before = this.#last + 1; pages.length < PAST_PAGES;) {
      const bounds = { before, limit: READ_MESSAGES, max_bytes: READ_BYTES };
      const { messages, more } = await durable.readBack(members_room_id, bounds);
      if (pages.length === 0 && this.#last > 0 && messages.at(-1)?.offset !== this.#last) {
        throw new ArqonError("log-unavailable", "its reading is behind its writing");
      }
      pages.unshift(messages);
      const [oldest] = messages;
      since_ms = more && oldest !== undefined ? oldest.time_ms : 0;
      if (oldest === undefined || since_ms <= needed_ms) break;
      before = oldest.offset;
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
