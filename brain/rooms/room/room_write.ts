/**
 * Writes the document that commands produced, with the pages of remembered commands, and counts the bytes for the
 * tenant. `room.ts` executes the commands.
 */
import { shed } from "../store/command_memory.ts";
import { addPages, encodePages, removePages } from "../store/command_pages.ts";
import type { RoomDocument } from "../store/document.ts";
import type { Room, RoomContext } from "./room.ts";
import { writeRoom } from "../store/room_store.ts";
import type { Stored } from "../store/room_store.ts";
import { encodeDocument } from "../store/stored_document.ts";
import { ENTRY_BYTES } from "../store/tenant_bytes.ts";

/** Nothing was written: the tenant's byte quota would be exceeded. */
export const FULL = "full";

/**
 * Writes `document`, derived from `base`; unless `is_due`, only within the tenant's byte quota. Undefined: another
 * Brain was faster. Rejects with `spine-unavailable` when the outcome is unknown.
 */
export async function writeChange(
  { at, pages: table, command_clock }: Room,
  base: Stored,
  document: RoomDocument,
  context: RoomContext,
  is_due: boolean,
): Promise<Stored | undefined | typeof FULL> {
  const { bucket, bytes, limits, metrics } = context;
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
  if (lean.forgotten > 0) metrics.command_ids_forgotten.inc(lean.forgotten);
  for (const { name } of lean.removed) table.delete(name);
  // Not awaited: it never rejects.
  if (lean.removed.length > 0) void removePages(at, lean.removed, bucket);
  return stored;
}
