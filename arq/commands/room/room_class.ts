/** What `arq room class set` and `remove` ask before they change a class. */
import { ArqonError } from "@arqon/proto";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { type Admin, askAdmin } from "../../bus/admin.ts";
import { requireMeant, roomLosses } from "../../rooms/unreachable.ts";
import type { Io } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

/** Throws `CommandError` when messages are stored that nobody could read any longer with these classes. */
export async function requireReachable(
  io: Io,
  admin: Admin,
  { tenant, pattern, allowUnreachable }: Flags<"pattern" | "tenant">,
  changed: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (allowUnreachable === true) return;
  const path = `/v1/tenants/${encodeURIComponent(tenant)}/rooms`;
  const { rooms } = await askAdmin(io, admin, { method: "GET", path });
  const others = listOf(rooms).filter((other) => membersOf(other)["room"] !== pattern);
  // A class that is removed has no members.
  const own = Object.keys(changed).length === 0 ? [] : [changed];
  try {
    requireMeant(await roomLosses(io, admin, tenant, [...others, ...own]), false);
  } catch (error) {
    // What is wrong with the class is said where it is set.
    if (!(error instanceof ArqonError) || error.reason !== "invalid-settings") throw error;
  }
}
