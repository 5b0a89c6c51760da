/**
 * The membership of one room by its journal's entries, and the entries that are needed to match the present members.
 * Pure; `brain/membership/` has the log and presence.
 */
import type { LeaveReason } from "../records/leave_reason.ts";
import type { MembershipChange, MembershipEntry, RecordedMember } from "./entry.ts";

/** The most members in one page of a list. */
export const PAGE_MEMBERS = 100;

/** The state of the entries. Changed in place. */
export interface Book {
  /** Sequence of the last change; 0: none. */
  sequence: number;
  occupied: boolean;
  readonly members: Map<string, RecordedMember>;
  /** Entries since the last whole list of members. */
  since_list: number;
}

/** The book of an empty journal. */
export function emptyBook(): Book {
  return { sequence: 0, occupied: false, members: new Map(), since_list: 0 };
}

const memberIn = (
  { user_id, issuer, connection_id, node_id, incarnation, joined_ms }: RecordedMember,
): RecordedMember => ({ user_id, issuer, connection_id, node_id, incarnation, joined_ms });

/** Applies one change. */
export function take(book: Book, entry: MembershipChange): void {
  book.sequence = entry.data.sequence;
  book.since_list++;
  if (entry.type === "joined") {
    book.members.set(entry.data.connection_id, memberIn(entry.data));
  } else if (entry.type === "left") book.members.delete(entry.data.connection_id);
  else book.occupied = entry.type === "occupied";
}

/**
 * Reads entries in the order of the log, from any position. `book` is valid from the first complete list on, or from
 * the first entry of the journal: `is_whole`.
 */
export class BookReader {
  book: Book = emptyBook();
  is_whole = false;
  /** The time of that list or entry, Unix ms; 0: not whole. */
  whole_ms = 0;
  #pages: RecordedMember[] = [];
  #next_page = 0;

  read(entry: MembershipEntry): void {
    if (entry.type === "missed") return;
    if (entry.type !== "present") {
      this.#next_page = 0;
      if (entry.data.sequence === 1) this.#whole(entry.data.at_ms);
      return take(this.book, entry);
    }
    const { page, pages, list, sequence, occupied, at_ms } = entry.data;
    // An unfinished list of another writer is ignored.
    if (page === 0) this.#pages = [];
    else if (page !== this.#next_page) return void (this.#next_page = 0);
    this.#pages.push(...list);
    this.#next_page = page + 1;
    if (this.#next_page < pages) return;
    const members = new Map(this.#pages.map((member) => [member.connection_id, member]));
    this.book = { sequence, occupied, members, since_list: 0 };
    this.#whole(at_ms);
    this.#next_page = 0;
  }

  #whole(at_ms: number): void {
    this.is_whole = true;
    this.whole_ms = at_ms;
  }
}

/**
 * The members at a time, by entries in the order of the log, from any position before that time on: from the last
 * complete list before it, or else back from the first one behind it. A list may be missing: an erased user's entries
 * are, and each list that had the user.
 */
export class MembersAt {
  readonly #at_ms: number;
  readonly #reader = new BookReader();
  /** By connection, if it is known to have joined before that time or has changed since: what it was then. */
  #before: Map<string, RecordedMember | undefined> | undefined;
  /** The time of the first entry, Unix ms; Infinity: there is none. */
  begins_ms = Infinity;

  constructor(at_ms: number) {
    this.#at_ms = at_ms;
  }

  /** Takes the next entry. False: no further one is needed. */
  read(entry: MembershipEntry): boolean {
    const { at_ms } = entry.data;
    this.begins_ms = Math.min(this.begins_ms, at_ms);
    if (at_ms > this.#at_ms) {
      if (this.#reader.is_whole || this.begins_ms > this.#at_ms) return false;
      this.#undo(this.#before ??= new Map(this.#reader.book.members), entry);
    }
    this.#reader.read(entry);
    return this.#before === undefined || !this.#reader.is_whole;
  }

  /** The first change of a connection says what it was before. */
  #undo(before: Map<string, RecordedMember | undefined>, { type, data }: MembershipEntry): void {
    if (type !== "joined" && type !== "left" || before.has(data.connection_id)) return;
    before.set(data.connection_id, type === "left" ? memberIn(data) : undefined);
  }

  /** The members; undefined: they are unknown. */
  get members(): readonly RecordedMember[] | undefined {
    const { is_whole, book } = this.#reader;
    if (!is_whole || this.begins_ms > this.#at_ms) return undefined;
    const members = new Map<string, RecordedMember | undefined>(book.members);
    for (const [connection_id, member] of this.#before ?? []) members.set(connection_id, member);
    return [...members.values()].filter((member) => member !== undefined);
  }
}

/** Lists all members, in pages. */
export function listOf(book: Book, at_ms: number): MembershipEntry[] {
  const all = [...book.members.values()];
  const pages = Math.max(1, Math.ceil(all.length / PAGE_MEMBERS));
  const { sequence, occupied } = book;
  return Array.from({ length: pages }, (_, page) => ({
    type: "present",
    data: {
      sequence,
      at_ms,
      page,
      pages,
      occupied,
      list: all.slice(page * PAGE_MEMBERS, (page + 1) * PAGE_MEMBERS),
    },
  }));
}

/** The present state of a connection. */
export interface Now {
  /** Undefined: not a member. */
  readonly member: RecordedMember | undefined;
  /** The reason if it is not a member. */
  readonly cause: LeaveReason;
  /** When it left, if that was long before; see `entry.ts`. */
  readonly left_ms?: number;
}

/**
 * The needed entry for one connection; undefined: the book is up to date. A member in the book and now, at any Shield,
 * has neither joined nor left.
 */
export function dueFor(
  book: Book,
  connection_id: string,
  { member, cause, left_ms }: Now,
  at_ms: number,
): MembershipChange | undefined {
  const known = book.members.get(connection_id);
  if ((known === undefined) === (member === undefined)) return undefined;
  const sequence = book.sequence + 1;
  if (member !== undefined) {
    const members = book.members.size + 1;
    return { type: "joined", data: { sequence, at_ms, members, ...member } };
  }
  const members = book.members.size - 1;
  const gone = known as RecordedMember;
  const late = left_ms === undefined ? {} : { left_ms };
  return { type: "left", data: { sequence, at_ms, members, ...gone, cause, ...late } };
}

/** The needed entry if the room got its first member, or lost its last. */
export function dueTurn(book: Book, at_ms: number): MembershipChange | undefined {
  const members = book.members.size;
  if (book.occupied === members > 0) return undefined;
  const type = members > 0 ? "occupied" : "vacated";
  return { type, data: { sequence: book.sequence + 1, at_ms, members } };
}
