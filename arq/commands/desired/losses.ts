/** Asks a bus what a change would make unreachable, or delete, of what is stored. */
import { NO_ROOM_LOSSES } from "../../answers/losses_text.ts";
import type { Losses } from "../../answers/losses_text.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { askAdmin } from "../../bus/admin.ts";
import type { Admin } from "../../bus/admin.ts";
import type { Change } from "../../desired/difference.ts";
import type { State } from "../../desired/state.ts";
import { roomLosses } from "../../rooms/unreachable.ts";
import type { Io } from "../../terminal/io.ts";

/** What a change would lose. Throws as `askAdmin` does. */
export async function lossesOf(
  io: Io,
  admin: Admin,
  tenant: string,
  wanted: State,
  changes: readonly Change[],
): Promise<Losses> {
  const has_rooms = changes.some(({ kind }) => kind === "rooms");
  const rooms = has_rooms
    ? await roomLosses(io, admin, tenant, wanted.rooms ?? [])
    : NO_ROOM_LOSSES;
  const removed = changes.filter(({ kind, action }) => kind === "hooks" && action === "remove");
  if (removed.length === 0) return { ...rooms, dead_letters: [] };
  const path = `/v1/tenants/${encodeURIComponent(tenant)}/hooks`;
  const { hooks } = await askAdmin(io, admin, { method: "GET", path });
  const dead_letters = listOf(hooks).map(membersOf)
    .map(({ id, dead }) => ({ hook: String(id), count: Number(dead) }))
    .filter(({ hook, count }) => count > 0 && removed.some(({ name }) => name === hook));
  return { ...rooms, dead_letters };
}
