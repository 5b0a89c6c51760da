/**
 * Reads a room's log backward from the newest message: for writers that must know whether a message that they may have
 * published was stored. It reads page by page and keeps nothing.
 */
import { DecodeError, type PlainEnvelope, readEnvelope } from "@arqon/proto";
import type { DurableLog, LogMessage } from "./durable_log.ts";
import { readable } from "./readable_message.ts";

const PAGE_MESSAGES = 256;
const PAGE_BYTES = 4_194_304;

/** The part of a log that is needed. */
type ReadLog = Pick<DurableLog, "head" | "readBack">;

/** A stored message. */
export interface StoredMessage {
  readonly offset: number;
  /** Unix ms by the log's clock. */
  readonly time_ms: number;
  readonly envelope: PlainEnvelope;
}

/** One page; the next page is older. */
export interface StoredPage {
  /** Newest first, without unreadable messages. */
  readonly messages: readonly StoredMessage[];
  /** When its oldest message was stored, Unix ms by the log's clock. */
  readonly oldest_ms: number;
}

/** Pages until the log has no more. Rejects as the log does. */
export async function* storedBack(log: ReadLog, room_id: string): AsyncGenerator<StoredPage, void> {
  const { last } = await log.head(room_id);
  for (let before = (last?.offset ?? 0) + 1; before > 1;) {
    const { messages, more } = await log.readBack(room_id, {
      before,
      limit: PAGE_MESSAGES,
      max_bytes: PAGE_BYTES,
    });
    const [oldest] = messages;
    if (oldest === undefined) return;
    yield { messages: messages.toReversed().flatMap(storedIn), oldest_ms: oldest.time_ms };
    if (!more) return;
    before = oldest.offset;
  }
}

/**
 * The newest message of the room that `isWanted` accepts; undefined if there is none stored at or after `since_ms`
 * (Unix ms, by the log's clock) among about the newest `most`. Rejects as the log does. A message id alone does not say
 * whose message it is: every client chooses its own.
 */
export async function findStored(
  log: ReadLog,
  room_id: string,
  isWanted: (envelope: PlainEnvelope) => boolean,
  since_ms: number,
  most = Infinity,
): Promise<StoredMessage | undefined> {
  let left = most;
  for await (const { messages, oldest_ms } of storedBack(log, room_id)) {
    const found = messages.find(({ envelope, time_ms }) =>
      time_ms >= since_ms && isWanted(envelope)
    );
    left -= messages.length;
    if (found !== undefined || oldest_ms < since_ms || left <= 0) return found;
  }
  return undefined;
}

function storedIn({ payload, offset, time_ms }: LogMessage): StoredMessage[] {
  try {
    return [{ offset, time_ms, envelope: readEnvelope(readable(payload)) }];
  } catch (error) {
    if (error instanceof DecodeError) return [];
    throw error;
  }
}
