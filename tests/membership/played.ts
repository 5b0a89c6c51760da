/**
 * Replays a journal of members from its beginning, and reports inconsistencies. Pure; it does not depend on how the
 * journal was written.
 */
import { BookReader } from "../../shared/membership/book.ts";
import { readEntry } from "../../shared/membership/entry.ts";

/** The result. */
export interface Played {
  /** Users by the connections that are in the room at the end. */
  readonly inside: ReadonlyMap<string, string>;
  /** The causes of leaves, in order. */
  readonly causes: readonly string[];
  /** Changes, without lists. */
  readonly entries: number;
  /** Stays that are missing according to the journal. */
  readonly missed: number;
  /** Inconsistencies in words; empty if none. */
  readonly problems: readonly string[];
}

/** One journal, message by message. */
export class Player implements Played {
  readonly inside = new Map<string, string>();
  readonly causes: string[] = [];
  readonly problems: string[] = [];
  entries = 0;
  missed = 0;
  readonly #reader = new BookReader();

  /** Adds the next message: its type, and its data as JSON. */
  take(type: string, json: string): void {
    const entry = readEntry(type, json);
    if (entry === undefined) return void this.problems.push(`${type} is no entry: ${json}`);
    this.#reader.read(entry);
    if (entry.type === "present") return;
    if (entry.type === "missed") return void (this.missed += entry.data.count);
    const { sequence, members } = entry.data;
    if (sequence !== ++this.entries) this.problems.push(`${sequence} in place of ${this.entries}`);
    if (entry.type === "joined") {
      const { connection_id, user_id } = entry.data;
      if (this.inside.has(connection_id)) this.problems.push(`${connection_id} joins twice`);
      this.inside.set(connection_id, user_id);
    } else if (entry.type === "left") {
      const { connection_id, cause } = entry.data;
      if (!this.inside.delete(connection_id)) this.problems.push(`${connection_id} leaves twice`);
      this.causes.push(cause);
    }
    if (members !== this.inside.size) this.problems.push(`${sequence}: ${members} members`);
  }

  /** The journal has ended: the lists in it agree with the changes after them. */
  end(): Played {
    const listed = [...this.#reader.book.members.keys()].toSorted().join();
    const inside = [...this.inside.keys()].toSorted().join();
    if (listed !== inside) this.problems.push("its lists say something else than its changes");
    return this;
  }
}
