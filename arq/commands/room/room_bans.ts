/**
 * `arq room bans`: lists bans. With a room, it asks the room's Brain for the bans of the room and of its
 * tenant, as a service. Without a room, it asks the admin API for the bans of the tenant and of all its
 * rooms.
 */
import { plural } from "../../../shared/plural.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import { EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { withRoom } from "../../rooms/room_command.ts";
import { banLine } from "../../answers/room_text.ts";
import { contextBus } from "../../bus/target.ts";
import type { Flags } from "../../program/flags.ts";

/** Most bans that the admin API lists. */
const LISTED_MAX = 1_000;

type Ban = Readonly<Record<string, unknown>>;

async function show(io: Io, { json }: Flags, bans: readonly Ban[]): Promise<void> {
  const lines = bans.map((ban) => json === true ? `${JSON.stringify(ban)}\n` : banLine(ban));
  await print(io.stdout, lines.join(""));
}

async function ofRoom(io: Io, room_id: string, flags: Flags): Promise<string> {
  return await withRoom(io, flags, { room: room_id, role: "service" }, async (ask) => {
    let after: unknown;
    let total = 0;
    do {
      const { members } = await ask({ name: "room.bans", data: JSON.stringify({ after }) });
      const bans = listOf(members["bans"]).map(membersOf);
      await show(
        io,
        flags,
        bans.map((ban) => ban["scope"] === "room" ? { ...ban, room_id } : ban),
      );
      total += bans.length;
      after = members["next"];
    } while (after !== undefined);
    return `${room_id}: ${plural(total, "ban")}, with those of the whole tenant`;
  });
}

async function ofTenant(io: Io, flags: Flags): Promise<string> {
  const tenant = flags.tenant ?? (await contextBus(io, flags))?.tenant ?? "default";
  const query = new URLSearchParams({ tenant, limit: String(LISTED_MAX) });
  const admin = await findAdmin(io, flags);
  const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/bans?${query}` });
  const bans = listOf(answer["bans"]).map(membersOf);
  await show(io, flags, bans);
  const more = answer["truncated"] === true ? `, the first ${bans.length} are shown` : "";
  return `tenant ${tenant}: ${plural(Number(answer["total"]), "ban")}${more}`;
}

/** Prints a line for each ban, with `--json` an object. Says on stderr how many there are. */
export async function roomBans(
  io: Io,
  room_id: string | undefined,
  flags: Flags,
): Promise<number> {
  if (room_id !== undefined && flags.tenant !== undefined) {
    throw usageError(
      "give either ROOM or --tenant, not both",
      "with ROOM the tenant is that of the token",
    );
  }
  const sum = room_id === undefined ? await ofTenant(io, flags) : await ofRoom(io, room_id, flags);
  await print(io.stderr, printable(sum) + "\n");
  return EXIT.ok;
}
