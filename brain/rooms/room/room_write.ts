/**
 * Writes what commands have made of a room, with the pages of commands that it remembers beside it, and
 * counts the bytes as its tenant's. Which commands those are is `room.ts`.
 */
import { shed } from "../store/command_memory.ts";
import { addPages, encodePages, removePages } from "../store/command_pages.ts";
import type { RoomDocument } from "../store/document.ts";
import type { Room, RoomContext } from "./room.ts";
import { writeRoom } from "../store/room_store.ts";
import type { Stored } from "../store/room_store.ts";
import { encodeDocument } from "../store/stored_document.ts";
import { ENTRY_BYTES } from "../store/tenant_bytes.ts";

/** Nothing was written: the tenant's rooms would have too many bytes. */
export const FULL = "full";

/**
 * Writes `document`, made of `base`; unless `is_due`, only if the tenant may have so many bytes. Undefined:
 * another Brain was faster. Rejects with `spine-unavailable` when the outcome is unknown.
 */
export async function writeChange(
  { at, pages: table, command_clock }: Room,
  base: Stored,
  document: RoomDocument,
  context: RoomContext,
  is_due: boolean,
): Promise<Stored | undefined | typeof FULL> {
  const { bucket, bytes, limits, observer } = context;
  const lean = shed(base.document, document, limits, command_clock.now(base.document, context));
  const value = encodeDocument(lean.document);
  const pages = encodePages(lean);
  const beside_bytes = pages.reduce((sum, page) => sum + page.value.length + ENTRY_BYTES, 0);
  const born_bytes = base.revision === 0 ? ENTRY_BYTES : 0;
  const grown_bytes = value.length - base.size_bytes + born_bytes + beside_bytes;
  if (is_due) bytes.add(at.tenant_id, grown_bytes);
  else if (!await bytes.take(at.tenant_id, grown_bytes)) return FULL;
  await addPages(at, pages, table, bucket);
  const stored = await writeRoom(at, lean.document, base.revision, context, value);
  if (stored === undefined) {
    bytes.add(at.tenant_id, -grown_bytes);
    return undefined;
  }
  if (lean.forgotten > 0) observer.onForgotten(lean.forgotten);
  for (const { name } of lean.removed) table.delete(name);
  // Nobody waits for it.
  if (lean.removed.length > 0) void removePages(at, lean.removed, bucket);
  return stored;
}
