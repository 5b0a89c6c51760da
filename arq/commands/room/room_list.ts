/** `arq room list` and `bans`, and the confirmation of `arq room class set` and `remove`. */
import { plural } from "../../../shared/plural.ts";
import { reducedRoomOf } from "../../../shared/rooms/reserved.ts";
import { listOf, type Members, membersOf } from "../../answers/policy_text.ts";
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { ANSWER_ROOMS, storedRooms } from "../../bus/stored_rooms.ts";
import { contextBus } from "../../bus/target.ts";
import { printable, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, print } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { withRoom } from "../../rooms/room_command.ts";
import { banLine } from "../../answers/room_text.ts";
import { ArqonError } from "@arqon/proto";
import { requireMeant, roomLosses } from "../../rooms/unreachable.ts";

interface Listed {
  readonly count: number;
  /** The last room of the answer when there are more; "" where it is unknown. Undefined: there are no more. */
  readonly last?: string;
}

type Show = (room_id: string, row: Members) => Promise<void>;

async function open(
  admin: Admin,
  tenant: string,
  { prefix = "", limit }: Flags<"limit">,
  show: Show,
): Promise<Listed> {
  const query = { tenant, limit: Math.min(limit, ANSWER_ROOMS), prefix: prefix || undefined };
  const answer = await admin.get("/v1/rooms", query);
  const rows = listOf(answer["rooms"]).map(membersOf);
  for (const row of rows) await show(String(row["room_id"]), row);
  return { count: rows.length, ...answer["truncated"] === true && { last: "" } };
}

async function stored(
  admin: Admin,
  tenant: string,
  { prefix = "", behind = "", limit }: Flags<"limit">,
  show: Show,
): Promise<Listed> {
  // At most as many as requested.
  const shown = new Set<string>();
  let last: string | null = null;
  for await (const page of storedRooms(admin, { tenant, prefix, after: behind, limit })) {
    for (const name of page.rooms) {
      // The log of a room with a reducer has its own name, beside that of its messages.
      const room_id = reducedRoomOf(name) ?? name;
      if (!shown.has(room_id)) await show(room_id, { tenant_id: tenant });
      shown.add(room_id);
    }
    last = page.next;
  }
  return { count: shown.size, ...last !== null && { last } };
}

/** Prints one room per line, with `--json` an object. Reports on stderr how many there are, and how to see more. */
export async function roomList(io: Io, flags: Flags<"limit">): Promise<Ended> {
  const tenant = flags.tenant ?? (await contextBus(io, flags))?.tenant ?? "default";
  const admin = await findAdmin(io, flags);
  const show: Show = async (room_id, row) => {
    const subscribers = row["subscribers"];
    const text = subscribers === undefined
      ? printable(room_id)
      : `${printable(room_id)} ${plural(Number(subscribers), "subscriber")}`;
    const line = flags.json === true ? JSON.stringify({ ...row, room_id }) : text;
    await print(io.stdout, `${line}\n`);
  };
  const list = flags.stored === true ? stored : open;
  const { count, last } = await list(admin, tenant, flags, show);
  const more = last === undefined
    ? ""
    : last === ""
    ? "; there are more: --prefix narrows the list"
    : `; there are more: --behind ${printable(last)}`;
  await print(io.stderr, `tenant ${tenant}: ${plural(count, "room")}${more}\n`);
}

/** Most bans that the admin API lists. */
const LISTED_MAX = 1_000;

async function show(io: Io, { json }: Flags, bans: readonly Members[]): Promise<void> {
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
      await show(io, flags, bans.map((ban) => ban["scope"] === "room" ? { ...ban, room_id } : ban));
      total += bans.length;
      after = members["next"];
    } while (after !== undefined);
    return `${room_id}: ${plural(total, "ban")}, with those of the whole tenant`;
  });
}

async function ofTenant(io: Io, flags: Flags): Promise<string> {
  const tenant = flags.tenant ?? (await contextBus(io, flags))?.tenant ?? "default";
  const admin = await findAdmin(io, flags);
  const answer = await admin.get("/v1/bans", { tenant, limit: LISTED_MAX });
  const bans = listOf(answer["bans"]).map(membersOf);
  await show(io, flags, bans);
  const more = answer["truncated"] === true ? `, the first ${bans.length} are shown` : "";
  return `tenant ${tenant}: ${plural(Number(answer["total"]), "ban")}${more}`;
}

/** Prints a line for each ban, with `--json` an object. Reports their number on stderr. */
export async function roomBans(io: Io, room_id: string | undefined, flags: Flags): Promise<Ended> {
  if (room_id !== undefined && flags.tenant !== undefined) {
    throw usageError(
      "give either ROOM or --tenant, not both",
      "with ROOM the tenant is that of the token",
    );
  }
  const sum = room_id === undefined ? await ofTenant(io, flags) : await ofRoom(io, room_id, flags);
  await print(io.stderr, printable(sum) + "\n");
}

/** Throws `CommandError` when these classes would make stored messages unreadable. */
export async function requireReachable(
  admin: Admin,
  { tenant, pattern, allowUnreachable }: Flags<"pattern" | "tenant">,
  changed: Members,
): Promise<void> {
  if (allowUnreachable === true) return;
  const path = `/v1/tenants/${encodeURIComponent(tenant)}/rooms`;
  const { rooms } = await admin.get(path);
  const others = listOf(rooms).filter((other) => membersOf(other)["room"] !== pattern);
  // A removed class has no members.
  const own = Object.keys(changed).length === 0 ? [] : [changed];
  try {
    requireMeant(await roomLosses(admin, tenant, [...others, ...own]), false);
  } catch (error) {
    // The request that sets the class reports what is wrong with it.
    if (!(error instanceof ArqonError) || error.reason !== "invalid-settings") throw error;
  }
}
