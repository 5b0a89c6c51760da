/**
 * What a bridge before has published to a room, as the room's log tells it. A room has its messages in commit order, so
 * the newest one of this database says it of all before it: a look goes back to that one, however far behind the
 * bridge is. Writes nothing.
 */
import type { BridgeBus, Committed, StoredMessage } from "./bus.ts";
import { parseLsn } from "./wal.ts";
import type { Lsn } from "./wal.ts";

/** Which messages of a room are believed to be of this database. */
export interface Origin {
  /** The database and its timeline: positions of another one mean nothing here. */
  readonly source: string;
  /** Where its log ended when that was asked: whatever says that it is from beyond is of another history. */
  readonly end_lsn: Lsn;
}

/** What a room has had. */
export interface Before {
  /** The newest message of this database. */
  readonly newest: Position | undefined;
  /** The ids of the bridge's user above it that say no position of this database. */
  readonly ids: ReadonlySet<string>;
  /** Whether it was looked at as far as was asked. */
  readonly is_whole: boolean;
}

interface Position {
  readonly lsn: Lsn;
  /** Among the messages of its transaction. */
  readonly number: number;
  /** By the clock of the database, Unix ms. */
  readonly commit_ms: number;
}

/**
 * Commits that are in their order in the log may have times in another order by so much, in ms. A database that was
 * set back to a copy of its disk has the same positions again, but later.
 */
const DISORDER_MS = 10_000;
const IDS_MAX = 100_000;

/** Looks at a room, back to `oldest_ms` (Unix ms) at most. Rejects as the bus does. */
export async function publishedBefore(
  bus: Pick<BridgeBus, "sender" | "storedBack">,
  room_id: string,
  origin: Origin,
  oldest_ms: number,
): Promise<Before> {
  const ids = new Set<string>();
  const { sender } = bus;
  for await (const page of bus.storedBack(room_id)) {
    for (const message of page.messages) {
      // Anybody can write such headers; nobody else has the sender.
      if (message.sender !== sender) continue;
      const newest = positionOf(message, origin);
      if (newest !== undefined) return { newest, ids, is_whole: true };
      if (ids.size >= IDS_MAX) return { newest, ids, is_whole: false };
      ids.add(message.message_id);
    }
    if (page.oldest_ms < oldest_ms) break;
  }
  return { newest: undefined, ids, is_whole: true };
}

/** Whether the room has had it. */
export function hasHad({ newest, ids }: Before, message: Committed): boolean {
  if (ids.has(message.message_id)) return true;
  if (newest === undefined || message.commit_ms > newest.commit_ms + DISORDER_MS) return false;
  const lsn = parseLsn(message.place.lsn);
  return lsn < newest.lsn || (lsn === newest.lsn && message.place.number <= newest.number);
}

/** Undefined: it says none of this database. */
function positionOf({ headers }: StoredMessage, origin: Origin): Position | undefined {
  if (headers["pg-source"] !== origin.source) return undefined;
  const number = Number(headers["pg-number"]);
  const commit_ms = Number(headers["pg-commit-ms"]);
  if (!Number.isInteger(number) || !Number.isFinite(commit_ms)) return undefined;
  try {
    const lsn = parseLsn(headers["pg-lsn"] ?? "");
    return lsn <= origin.end_lsn ? { lsn, number, commit_ms } : undefined;
  } catch {
    return undefined;
  }
}
