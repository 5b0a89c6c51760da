/**
 * The ids of the messages that a room's log has, read back from the newest: for who has to know whether a
 * message that it may have published is there. Nothing else of the messages is read.
 */
import { DecodeError, readEnvelope } from "@arqon/proto";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import { legible } from "../messages/legible.ts";

/** Messages of a page of the log. */
const PAGE_MESSAGES = 256;
const PAGE_BYTES = 4_194_304;

/** One page; the next one is older. */
export interface IdsPage {
  readonly ids: readonly string[];
  /** When its oldest message was stored, Unix ms. */
  readonly oldest_ms: number;
}

/** Pages until the log has no more. */
export async function* idsBack(
  log: Pick<DurableLog, "head" | "readBack">,
  room_id: string,
): AsyncGenerator<IdsPage, void> {
  const { last } = await log.head(room_id);
  for (let before = (last?.offset ?? 0) + 1; before > 1;) {
    const { messages, more } = await log.readBack(room_id, {
      ...{ before, limit: PAGE_MESSAGES, max_bytes: PAGE_BYTES },
    });
    const [oldest] = messages;
    if (oldest === undefined) return;
    yield {
      ids: messages.map(({ payload }) => messageIdIn(payload)),
      oldest_ms: oldest.time_ms,
    };
    if (!more) return;
    before = oldest.offset;
  }
}

/** The id of a stored message; "" for what cannot be read. */
function messageIdIn(payload: Uint8Array): string {
  try {
    return readEnvelope(legible(payload)).message_id;
  } catch (error) {
    if (error instanceof DecodeError) return "";
    throw error;
  }
}
