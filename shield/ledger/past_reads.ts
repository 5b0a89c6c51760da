/**
 * Has the ledger take note of what users read of rooms' logs because they asked: pages of history, and streams. A
 * page is one row, unless a filter has picked its messages.
 */
import type { Ledger } from "./ledger.ts";
import type { PastRead } from "./row_facts.ts";

/** Offsets of one row: JSON of so many fits. */
const LISTED_MAX = 256;
/** How the connection of a caller over HTTP begins, of which there is none. */
const HTTP = "http:";

/** What was read, and by whom. */
export interface ReadPage {
  readonly caller: {
    readonly identity: { readonly tenant_id: string; readonly user_id: string };
    readonly connection_id: string;
  };
  readonly room_id: string;
  readonly how: PastRead["how"];
  /** The offsets of its messages, in any order. */
  readonly offsets: readonly number[];
  /** Whether it has all messages of the room between the lowest and the highest of them. */
  readonly is_whole: boolean;
}

/** Takes note of a page that is about to be sent. */
export type NoteRead = (page: ReadPage) => void;

/** The notes of a process. */
export function readNotes(ledger: Pick<Ledger, "read">): NoteRead {
  return ({ caller, room_id, how, offsets, is_whole }) => {
    const { identity: { tenant_id, user_id } } = caller;
    const connection_id = caller.connection_id.startsWith(HTTP) ? "" : caller.connection_id;
    const size = is_whole ? Math.max(1, offsets.length) : LISTED_MAX;
    for (let at = 0; at < offsets.length; at += size) {
      const part = offsets.slice(at, at + size);
      const from = part.reduce((least, one) => Math.min(least, one), Infinity);
      const to = part.reduce((most, one) => Math.max(most, one), 0);
      const listed = is_whole ? {} : { listed: part };
      ledger.read(tenant_id, room_id, { user_id, connection_id, how, from, to, ...listed });
    }
  };
}
