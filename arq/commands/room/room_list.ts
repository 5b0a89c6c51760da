/**
 * `arq room list`, `bans` and `members`: what there is in rooms. Also the confirmation of `arq room class set`
 * and `remove`.
 */
import { plural } from "../../../shared/plural.ts";
import { membersRoomOf, RECORDED_UNITS_MAX } from "../../../shared/rooms/reserved.ts";
import { reducedRoomOf } from "../../../shared/rooms/reserved.ts";
import { listOf, type Members, membersOf } from "../../answers/policy_text.ts";
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { contextBus, openConnection } from "../../bus/target.ts";
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, print } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { tell, withRoom } from "../../rooms/room_command.ts";
import type { Ask } from "../../rooms/room_command.ts";
import { banLine, countText, memberLine } from "../../answers/room_text.ts";
import { ArqonError } from "@arqon/proto";
import { requireMeant, roomLosses } from "../../rooms/unreachable.ts";
import { MembersAt } from "../../../shared/membership/book.ts";
import { readEntry } from "../../../shared/membership/entry.ts";
import { historyPages, isKnownPlace, patient, type Place, storedIn } from "../../rooms/history.ts";
import { time } from "../../answers/figures.ts";
import { ANSWER_ROOMS, storedRooms } from "../../bus/stored_rooms.ts";

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

const tenantOf = async (io: Io, flags: Flags): Promise<string> =>
  flags.tenant ?? (await contextBus(io, flags))?.tenant ?? "default";

/** Prints one room per line, with `--json` an object. Reports on stderr how many there are, and how to see more. */
export async function roomList(io: Io, flags: Flags<"limit">): Promise<Ended> {
  const tenant = await tenantOf(io, flags);
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

/** Prints a line for each, with `--json` an object. */
async function show(
  io: Io,
  { json }: { readonly json?: boolean },
  all: readonly Members[],
  line: (one: Members) => string,
): Promise<void> {
  const lines = all.map((one) => json === true ? `${JSON.stringify(one)}\n` : line(one));
  await print(io.stdout, lines.join(""));
}

/** Asks a room for a list, page by page; the list may change meanwhile. Resolves with the last answer. */
async function pages(
  ask: Ask,
  name: string,
  list: string,
  onPage: (all: readonly Members[]) => Promise<void>,
): Promise<Members> {
  let after: unknown;
  for (;;) {
    const { members } = await ask({ name, data: JSON.stringify({ after }) });
    await onPage(listOf(members[list]).map(membersOf));
    if (members["next"] === undefined) return members;
    after = members["next"];
  }
}

async function ofRoom(io: Io, room_id: string, flags: Flags): Promise<string> {
  return await withRoom(io, flags, { room: room_id, role: "service" }, async (ask) => {
    let total = 0;
    await pages(ask, "room.bans", "bans", async (bans) => {
      total += bans.length;
      const named = bans.map((ban) => ban["scope"] === "room" ? { ...ban, room_id } : ban);
      await show(io, flags, named, banLine);
    });
    return `${room_id}: ${plural(total, "ban")}, with those of the whole tenant`;
  });
}

async function ofTenant(io: Io, flags: Flags): Promise<string> {
  const tenant = await tenantOf(io, flags);
  const admin = await findAdmin(io, flags);
  const answer = await admin.get("/v1/bans", { tenant, limit: LISTED_MAX });
  const bans = listOf(answer["bans"]).map(membersOf);
  await show(io, flags, bans, banLine);
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

type MembersFlags = Omit<Flags, "count"> & { readonly count?: boolean };

/** Prints a line for each member, with `--json` an object, or only their number. */
export async function roomMembers(io: Io, room_id: string, flags: MembersFlags): Promise<Ended> {
  return await withRoom(io, flags, { room: room_id }, async (ask) => {
    if (flags.count === true) {
      const answer = await ask({ name: "presence.count" });
      return await tell(io, flags, answer, countText(answer.members));
    }
    const last = await pages(
      ask,
      "presence.list",
      "members",
      (members) => show(io, flags, members, memberLine),
    );
    await print(io.stderr, `${printable(room_id)}: ${countText(last)}\n`);
    return EXIT.ok;
  });
}

/** Prints a line for each member at that time, with `--json` an object. Exits with 1 when that is unknown. */
export async function roomMembersAt(io: Io, room_id: string, flags: MembersFlags): Promise<Ended> {
  const { count = false } = flags;
  const members_room_id = membersRoomOf(room_id);
  if (members_room_id === undefined) {
    throw usageError(`a room with a journal of members has an id of up to ${RECORDED_UNITS_MAX}`);
  }
  await using connection = await openConnection(io, flags);
  const { at = connection.welcome.server_time_ms } = flags;
  const room = connection.room(members_room_id);
  const isKnown = (place: Place) => isKnownPlace(room, place);
  const then = new MembersAt(at);
  reading: for await (
    const page of historyPages(patient(storedIn(room), io), { total: Infinity, isKnown })
  ) {
    for (const { type, data } of page.messages) {
      const entry = readEntry(type, new TextDecoder().decode(data));
      if (entry !== undefined && !then.read(entry)) break reading;
    }
    if (!page.more) break;
  }
  const when = time(at);
  const { members, begins_ms } = then;
  if (members === undefined) {
    const begins = begins_ms === Infinity
      ? "its journal is empty"
      : begins_ms > at
      ? `its journal does not reach back so far: it begins at ${time(begins_ms)}`
      : "its journal has no list of all members yet";
    throw new CommandError(`the members of ${room_id} at ${when} are unknown: ${begins}`);
  }
  const users = new Set(members.map(({ issuer, user_id }) => `${issuer} ${user_id}`)).size;
  const total = { connections: members.length, users };
  if (count) return { json: total, text: `${countText(total)}\n` };
  await show(io, flags, members.map((one) => ({ ...one })), memberLine);
  await print(io.stderr, `${printable(room_id)} at ${when}: ${countText(total)}\n`);
}
