/** Where a room's log stood at a time, as far as it still knows. */
import type { HookPosition } from "../../shared/records/hook_document.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { lifeAt } from "../../shared/spine/contract/lives.ts";

const READ_MESSAGES = 512;
const READ_BYTES = 1_048_576;

/**
 * The position behind which everything is that the room got since then; the room's beginning, when nothing that is
 * older is kept; undefined: it got nothing since. Rejects as the log does.
 */
export async function positionBefore(
  durable: DurableLog,
  room_id: string,
  from_ms: number,
): Promise<HookPosition | undefined> {
  const { last } = await durable.head(room_id);
  if (last === undefined || last.time_ms < from_ms) return undefined;
  for (let before = last.offset + 1;;) {
    const limits = { before, limit: READ_MESSAGES, max_bytes: READ_BYTES };
    const { messages, more } = await durable.readBack(room_id, limits);
    const older = messages.findLast(({ time_ms }) => time_ms < from_ms);
    const offset = older?.offset ?? 0;
    const [oldest] = messages;
    if (older !== undefined || !more || oldest === undefined) {
      return { stream: lifeAt(durable.lives, offset).name, offset };
    }
    before = oldest.offset;
  }
}
