/** The bus as a bridge uses it, and a connection of the SDK as one. What is published, and when, is `publisher.ts`. */
import { ArqonError } from "@arqon/sdk";
import type { Connection } from "@arqon/sdk";
import { historyPages } from "../rooms/history.ts";

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
  /** Where it stands in the database's log. */
  readonly place: { readonly lsn: string; readonly number: number };
}

/** What a bridge asks of a bus. */
export interface BridgeBus {
  /** Resolves when the bus has taken it; rejects with its ArqonError. */
  publish(message: Omit<Committed, "place">): Promise<void>;
  /** The ids that a room has had since then, and some older ones, at most `most`; none where it has no log. */
  idsSince(room_id: string, oldest_ms: number, most: number): Promise<ReadonlySet<string>>;
}

const TIMEOUT_MS = 30_000;

/** A connection as the bus of a bridge. */
export function connectedBus(connection: Pick<Connection, "room">): BridgeBus {
  return {
    async publish({ room, type, data, message_id, headers }) {
      await connection.room(room).publish(type, new TextEncoder().encode(data), {
        ...{ content_type: "application/json", message_id, headers, timeout_ms: TIMEOUT_MS },
      });
    },
    async idsSince(room_id, oldest_ms, most) {
      const ids = new Set<string>();
      try {
        const room = connection.room(room_id);
        const source = { history: room.history.bind(room) };
        for await (const page of historyPages(source, { total: most, reverse: true })) {
          for (const { message_id } of page.messages) ids.add(message_id);
          if (page.messages.some(({ timestamp_ms }) => Number(timestamp_ms) < oldest_ms)) break;
        }
      } catch (error) {
        // A room without a log knows repetitions for two minutes only, and a token may not read every room.
        const has_none = error instanceof ArqonError &&
          ["not-durable", "not-granted"].includes(error.reason);
        if (!has_none) throw error;
      }
      return ids;
    },
  };
}
