/** Finds a message in a room's log by its message id, newest first. For the rare case that nobody else knows. */
import { DecodeError, readEnvelope } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import { legible } from "../messages/legible.ts";

/** Messages of a page of the log. */
const PAGE_MESSAGES = 256;
const PAGE_BYTES = 4_194_304;

/** A stored message that was looked for. */
export interface StoredMessage {
  readonly offset: number;
  readonly envelope: PlainEnvelope;
}

/**
 * The newest message of the room whose message id `isWanted`; undefined: there is none that was stored at
 * `since_ms` (Unix ms, by the log's clock) or later. Rejects as the log does.
 */
export async function findStored(
  log: DurableLog,
  room_id: string,
  isWanted: (message_id: string) => boolean,
  since_ms: number,
): Promise<StoredMessage | undefined> {
  const { last } = await log.head(room_id);
  for (let before = (last?.offset ?? 0) + 1; before > 1;) {
    const { messages, more } = await log.readBack(room_id, {
      ...{ before, limit: PAGE_MESSAGES, max_bytes: PAGE_BYTES },
    });
    for (const { payload, offset } of messages.toReversed()) {
      const envelope = read(payload);
      if (envelope !== undefined && isWanted(envelope.message_id)) return { offset, envelope };
    }
    const [oldest] = messages;
    if (oldest === undefined || !more || oldest.time_ms < since_ms) return undefined;
    before = oldest.offset;
  }
  return undefined;
}

/** A stored message; undefined for what cannot be read. */
function read(payload: Uint8Array): PlainEnvelope | undefined {
  try {
    return readEnvelope(legible(payload));
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
