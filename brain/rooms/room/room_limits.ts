/** The bounds of rooms and their commands, from the config and from the largest message that the Spine carries. */
import type { Config } from "../../../shared/config/schema.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { RequestLimits } from "../commands/room_commands.ts";
import type { MemoryLimits } from "../store/command_memory.ts";
import type { RoomLimits } from "../store/document.ts";
import type { TableLimits } from "./room_table.ts";

/**
 * The most bytes of a stored document, or of an answer with a whole state, beyond the entries: events (24 KiB), recent
 * commands (45 KiB), the names of their pages (20 KiB), the rest.
 */
const DOCUMENT_OVERHEAD_BYTES = 98_304;
/** The same for a Spine with small messages: so few commands are remembered that they need no pages. */
const SMALL_OVERHEAD_BYTES = 32_768;
const SMALL_COMMANDS = 32;
/**
 * The bounds in force, with live keys at their present values. Logs if the Spine's messages are smaller than the config
 * needs.
 */
export function roomLimits(
  { brain, limits }: Pick<Config, "brain" | "limits">,
  spine: Pick<Spine, "payload_bytes_max">,
  log: Logger,
): {
  readonly document: RoomLimits & MemoryLimits;
  readonly request: RequestLimits;
  readonly table: TableLimits;
} {
  const { payload_bytes_max } = spine;
  const is_small = payload_bytes_max < 2 * DOCUMENT_OVERHEAD_BYTES;
  const overhead_bytes = is_small ? SMALL_OVERHEAD_BYTES : DOCUMENT_OVERHEAD_BYTES;
  const carried_bytes = Math.max(1, payload_bytes_max - overhead_bytes);
  const state_bytes = Math.min(brain.state_bytes, carried_bytes);
  if (state_bytes < brain.state_bytes) {
    log.warn("the Spine carries less than brain.state_bytes", {
      state_bytes: brain.state_bytes,
      used_bytes: state_bytes,
    });
  }
  return {
    document: {
      state_bytes,
      get keys_per_room() {
        return brain.keys_per_room;
      },
      command_id_ttl_ms: brain.command_id_ttl_ms,
      command_ids_per_room: is_small
        ? Math.min(SMALL_COMMANDS, brain.command_ids_per_room)
        : brain.command_ids_per_room,
    },
    request: {
      key_bytes: limits.field_bytes,
      lock_ttl_ms: brain.lock_ttl_ms,
      lock_ttl_max_ms: brain.lock_ttl_max_ms,
    },
    table: { pending_commands: brain.pending_commands, rooms_in_memory: brain.rooms_in_memory },
  };
}
