/** The bounds of rooms and their commands, from the config and from what the Spine carries. */
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/log.ts";
import type { Spine } from "../../shared/spine/spine.ts";
import type { DeskLimits } from "./commands.ts";
import type { RoomLimits } from "./document.ts";

/**
 * What a stored document and an answer with a whole state take beyond the entries, at most: the
 * events (24 KiB), the applied commands (5 KiB), the rest.
 */
const DOCUMENT_OVERHEAD_BYTES = 32_768;
/** A page of a presence list is no larger, whatever the Spine carries. */
const PAGE_BYTES_MAX = 393_216;

/** Says in the log when the Spine carries less than the config wants. */
export function roomLimits(
  { brain, limits, presence }: Pick<Config, "brain" | "limits" | "presence">,
  { payload_bytes_max }: Pick<Spine, "payload_bytes_max">,
  log: Logger,
): { readonly document: RoomLimits; readonly desk: DeskLimits } {
  const carried_bytes = Math.max(1, payload_bytes_max - DOCUMENT_OVERHEAD_BYTES);
  const state_bytes = Math.min(brain.state_bytes, carried_bytes);
  if (state_bytes < brain.state_bytes) {
    log.warn("the Spine carries less than [brain] state_bytes", {
      state_bytes: brain.state_bytes,
      used_bytes: state_bytes,
    });
  }
  return {
    document: { state_bytes, keys_per_room: brain.keys_per_room },
    desk: {
      key_bytes: limits.field_bytes,
      lock_ttl_ms: brain.lock_ttl_ms,
      lock_ttl_max_ms: brain.lock_ttl_max_ms,
      page_members: presence.page_members,
      page_bytes_max: Math.min(PAGE_BYTES_MAX, Math.floor(payload_bytes_max / 2)),
      pending_commands: brain.pending_commands,
      pending_bytes: brain.pending_bytes,
      rooms_in_memory: brain.rooms_in_memory,
      command_timeout_ms: limits.command_timeout_ms,
    },
  };
}
