/** What the ledger learns of: ends and refusals of connections, refused handshakes, and what nobody heard. */
import type { ArqonError } from "@arqon/proto";
import type { Connection } from "../connection/connection.ts";
import type { Observer } from "../message/observers.ts";
import type { HandshakeNotes } from "./handshakes.ts";
import type { Ledger } from "./ledger.ts";
import type { RunningRow } from "./left_out_rows.ts";
import { clipped } from "./row_facts.ts";
import type { NoteRead } from "../message/reads.ts";

/** Refusals of one connection that are made longer when they come again. */
const REFUSALS_MAX = 8;
/** For so long, in ms, a connection with that many gets no row for another one. */
const REFUSALS_MS = 10_000;

/** The refusals of a connection that were noted lately, by reason and room; the oldest first. */
type NotedRefusals = Map<string, { readonly run: RunningRow; readonly at_ms: number }>;

/** What the ledger takes note of. `now` is in Unix ms. */
export function noting(
  ledger: Ledger,
  handshakes: Pick<HandshakeNotes, "greeted">,
  now: () => number,
): Observer {
  const refusals = new WeakMap<Connection, NotedRefusals>();
  return {
    // Fan-out knows nothing of it, and somebody may ask for it by its ids.
    passed({ caller, envelope: { room_id }, routed, stored, is_heard }) {
      if (stored === undefined || stored.duplicate || is_heard) return;
      ledger.stored(caller.identity.tenant_id, room_id, routed, stored.offset);
    },
    greeted: (asked, refusal) => handshakes.greeted(asked, refusal),
    ended(connection, end) {
      const { id, number, identity, caller, noted_ms } = connection;
      ledger.ended(number, {
        connection_id: id,
        tenant_id: identity.tenant_id,
        user_id: identity.user_id,
        remote_ip: clipped(caller.remote_ip),
        began_ms: noted_ms,
        ...end,
        reason: clipped(end.reason),
      });
    },
    denied(connection, room_id, refusal) {
      const noted = refusals.get(connection) ?? new Map();
      refusals.set(connection, noted);
      const room = room_id === "" ? refusal.room ?? "" : room_id;
      noteRefused(ledger, connection, room, refusal, noted, now());
    },
  };
}

/**
 * Takes note of a refused operation. The same again makes its row longer, and a client that is refused
 * for ever other things gets no row for each: it would push out what others ask for.
 */
function noteRefused(
  ledger: Ledger,
  { id, number, identity, caller }: Connection,
  room_id: string,
  refusal: ArqonError,
  noted: NotedRefusals,
  now_ms: number,
): void {
  const key = `${refusal.reason} ${clipped(room_id)}`;
  const before = noted.get(key);
  if (before === undefined && noted.size >= REFUSALS_MAX) {
    const [oldest, { at_ms }] = noted.entries().next().value!;
    if (now_ms - at_ms < REFUSALS_MS) return;
    noted.delete(oldest);
  }
  const run = ledger.refused(number, {
    stage: "operation",
    tenant_id: identity.tenant_id,
    user_id: identity.user_id,
    connection_id: id,
    remote_ip: clipped(caller.remote_ip),
    room_id: clipped(room_id),
    reason: refusal.reason,
    detail: clipped(refusal.message),
  }, before?.run);
  if (run === before?.run) return;
  noted.delete(key);
  noted.set(key, { run, at_ms: now_ms });
}

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
