/**
 * Asks a bus which of a tenant's stored messages would become unreadable, and refuses the change unless it is
 * explicitly confirmed.
 */
import { isLoss, type Losses, lossesText, type RoomLosses } from "../answers/losses_text.ts";
import { type Admin, askAdmin } from "../bus/admin.ts";
import { CommandError, EXIT } from "../terminal/exit.ts";
import type { Io } from "../terminal/io.ts";

/** What would become unreadable if these were all classes of the tenant. Throws as `askAdmin` does. */
export async function roomLosses(
  io: Io,
  admin: Admin,
  tenant: string,
  rooms: readonly unknown[],
): Promise<RoomLosses> {
  const path = `/v1/tenants/${encodeURIComponent(tenant)}/rooms/unreachable`;
  const body = JSON.stringify({ rooms });
  const { hidden, cut, named, more } = await askAdmin(io, admin, { method: "POST", path, body });
  // The bus returns these members.
  return { hidden, cut, named, more } as unknown as RoomLosses;
}

/** Throws `CommandError` for a loss without the option that confirms it. */
export function requireMeant(
  losses: Partial<Losses>,
  allow_unreachable: boolean | undefined,
): void {
  if (allow_unreachable === true || !isLoss(losses)) return;
  const [first = "", ...more] = lossesText(losses).trimEnd().split("\n");
  const hint = "--allow-unreachable does it anyway";
  throw new CommandError(`${first}; nothing was changed`, EXIT.failure, hint, { more });
}
