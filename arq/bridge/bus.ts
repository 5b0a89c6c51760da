/**
 * The bus as a bridge uses it, and a connection of the SDK as such a bus. `publisher.ts` decides what is published, and
 * when.
 */
import { ArqonError, type Connection } from "@arqon/sdk";
import { historyPages, storedIn } from "../rooms/history.ts";

/** One message of a transaction. */
export interface Committed {
  readonly room: string;
  readonly type: string;
  /** JSON. */
  readonly data: string;
  readonly message_id: string;
  readonly headers: Readonly<Record<string, string>>;
  /** When its transaction was committed, by the clock of the database, Unix ms. */
  readonly commit_ms: number;
  /** Its position in the database's log. */
  readonly place: { readonly lsn: string; readonly number: number };
  /** Why it is refused without asking a bus; it has no room then. */
  readonly refusal?: string;
}

/** A message that a room has stored. */
export interface StoredMessage {
  readonly message_id: string;
  readonly sender: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A page of stored messages; the next page is older. */
export interface StoredPage {
  /** Newest first. */
  readonly messages: readonly StoredMessage[];
  /** When the oldest of them was stored, Unix ms. */
  readonly oldest_ms: number;
}

/** The operations that a bridge needs from a bus. */
export interface BridgeBus {
  readonly sender: string;
  /** Resolves when the bus has accepted the message; rejects with its ArqonError. */
  publish(message: Omit<Committed, "place">): Promise<void>;
  /** The stored messages of a room, newest first; empty for a room without a log. */
  storedBack(room_id: string): AsyncIterable<StoredPage>;
}

const TIMEOUT_MS = 30_000;
/** Messages on the first page: enough for a room in which only the bridge publishes. */
const FIRST_MESSAGES = 16;

/** A connection as the bus of a bridge. */
export function connectedBus(connection: Pick<Connection, "room" | "welcome">): BridgeBus {
  return {
    get sender() {
      return connection.welcome.user_id;
    },
    async publish({ room, type, data, message_id, headers }) {
      await connection.room(room).publish(type, new TextEncoder().encode(data), {
        content_type: "application/json",
        message_id,
        headers,
        timeout_ms: TIMEOUT_MS,
      });
    },
    async *storedBack(room_id) {
      const room = connection.room(room_id);
      const source = storedIn(room);
      try {
        let before: number | undefined;
        for (const total of [FIRST_MESSAGES, Infinity]) {
          const query = { total, reverse: true, ...(before === undefined ? {} : { before }) };
          let has_more = false;
          for await (const { messages, more } of historyPages(source, query)) {
            const oldest = messages.at(-1);
            if (oldest === undefined) return;
            before = Number(oldest.offset);
            has_more = more;
            yield { messages, oldest_ms: oldest.timestamp_ms };
          }
          if (!has_more) return;
        }
      } catch (error) {
        // A room without a log recognizes repetitions for two minutes only, and a token may not be allowed to read
        // every room.
        const has_none = error instanceof ArqonError &&
          ["not-durable", "not-granted"].includes(error.reason);
        if (!has_none) throw error;
      }
    },
  };
}
