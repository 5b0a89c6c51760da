/**
 * Has the ledger take note of what users read of rooms' logs because they asked: pages of history, and streams. A
 * page is one row, unless a filter has picked its messages.
 */
import type { Ledger } from "./ledger.ts";
import type { NoteRead } from "../message/reads.ts";

/** Offsets of one row: JSON of so many fits. */
const LISTED_MAX = 256;
/** How the connection of a caller over HTTP begins, of which there is none. */
const HTTP = "http:";

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
