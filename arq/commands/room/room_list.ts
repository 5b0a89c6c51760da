/**
 * `arq room list`: the rooms of a tenant that somebody is subscribed to, or with `--stored` those whose log has
 * messages, also where nobody is. It asks the admin API and prints a page at a time.
 */
import { plural } from "../../../shared/plural.ts";
import { reducedRoomOf } from "../../../shared/rooms/reducer_room.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { type Admin, askAdmin, findAdmin } from "../../bus/admin.ts";
import { contextBus } from "../../bus/target.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

/** Rooms of one answer at most. */
const ANSWER_ROOMS = 1_000;

interface Listed {
  readonly count: number;
  /** The room behind which there are more; "" where that is not known. Undefined: there are none. */
  readonly last?: string;
}

type Show = (room_id: string, row: Readonly<Record<string, unknown>>) => Promise<void>;

async function open(
  io: Io,
  admin: Admin,
  tenant: string,
  { prefix = "", limit }: Flags<"limit">,
  show: Show,
): Promise<Listed> {
  const query = new URLSearchParams({ tenant, limit: String(Math.min(limit, ANSWER_ROOMS)) });
  if (prefix !== "") query.set("prefix", prefix);
  const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/rooms?${query}` });
  const rows = listOf(answer["rooms"]).map(membersOf);
  for (const row of rows) await show(String(row["room_id"]), row);
  return { count: rows.length, ...answer["truncated"] === true && { last: "" } };
}

async function stored(
  io: Io,
  admin: Admin,
  tenant: string,
  { prefix = "", behind = "", limit }: Flags<"limit">,
  show: Show,
): Promise<Listed> {
  // At most as many as are asked for.
  const shown = new Set<string>();
  for (let count = 0, last = behind;;) {
    const query = new URLSearchParams({ tenant, prefix });
    query.set("limit", String(Math.min(limit - count, ANSWER_ROOMS)));
    if (last !== "") query.set("after", last);
    const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/rooms/stored?${query}` });
    const names = listOf(answer["rooms"]).map(String);
    for (const name of names) {
      // The log of a room with a reducer has a name of its own, beside that of its messages.
      const room_id = reducedRoomOf(name) ?? name;
      if (!shown.has(room_id)) await show(room_id, { tenant_id: tenant });
      shown.add(room_id);
    }
    count += names.length;
    if (typeof answer["next"] !== "string") return { count: shown.size };
    last = answer["next"];
    if (count >= limit) return { count: shown.size, last };
  }
}

/** Prints a room a line, with `--json` an object. Says on stderr how many there are, and how to see more. */
export async function roomList(io: Io, flags: Flags<"limit">): Promise<number> {
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
  const { count, last } = await list(io, admin, tenant, flags, show);
  const more = last === undefined
    ? ""
    : last === ""
    ? "; there are more: --prefix names fewer"
    : `; there are more: --behind ${printable(last)}`;
  await print(io.stderr, `tenant ${tenant}: ${plural(count, "room")}${more}\n`);
  return EXIT.ok;
}
