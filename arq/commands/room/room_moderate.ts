/**
 * `arq room kick`, `ban` and `unban`: put users out of a room and keep them out. They need a token of role
 * service or admin.
 */
import { usageError } from "../../terminal/exit.ts";
import type { Io } from "../../terminal/io.ts";
import { change, tell } from "../../rooms/room_command.ts";
import type { RoomFlags } from "../../rooms/room_command.ts";
import { ttlText } from "../../answers/room_text.ts";

/** The options of `arq room kick`. */
export interface KickFlags extends RoomFlags {
  /** One connection, instead of all connections of the user. */
  readonly connection?: string;
  readonly reason?: string;
}

/** The options of `arq room unban`. */
export interface UnbanFlags extends RoomFlags {
  /** Lift the ban of this room, and not that of the whole tenant. */
  readonly roomOnly?: boolean;
}

/** The options of `arq room ban`. */
export interface BanFlags extends UnbanFlags {
  /** Length of the ban in seconds; absent: the ban has no end. */
  readonly ttl?: number;
  readonly reason?: string;
}

const scopeOf = ({ roomOnly }: UnbanFlags) => roomOnly === true ? "room" : "tenant";

/** The place where a ban holds, in words. */
function placeOf(room_id: string, flags: UnbanFlags): string {
  return flags.roomOnly === true ? `room ${room_id}` : "the whole tenant";
}

/** Ends the subscriptions to the room of a user, or of one connection. */
export async function roomKick(
  io: Io,
  room_id: string,
  user_id: string | undefined,
  flags: KickFlags,
): Promise<number> {
  const { connection: connection_id, reason } = flags;
  if ((user_id === undefined) === (connection_id === undefined)) {
    throw usageError("give either USER or --connection", "arq room members ROOM shows both");
  }
  const data = JSON.stringify({ user_id, connection_id, reason });
  const request = { room: room_id, role: "service", name: "room.kick", data } as const;
  const answer = await change(io, flags, request);
  const who = user_id ?? `connection ${connection_id}`;
  return await tell(io, flags, answer, `${who} is kicked out of room ${room_id}`);
}

/** Bans a user from the tenant, or only from the room. */
export async function roomBan(
  io: Io,
  room_id: string,
  user_id: string,
  flags: BanFlags,
): Promise<number> {
  const { ttl, reason } = flags;
  const ttl_ms = ttl === undefined ? undefined : ttl * 1_000;
  const data = JSON.stringify({ user_id, reason, ttl_ms, scope: scopeOf(flags) });
  const request = { room: room_id, role: "service", name: "room.ban", data } as const;
  const answer = await change(io, flags, request);
  const end = ttl === undefined ? "" : ` for ${ttlText(ttl)}`;
  const text = `${user_id} is banned from ${placeOf(room_id, flags)}${end}`;
  return await tell(io, flags, answer, text);
}

/** Lifts a ban of a user. */
export async function roomUnban(
  io: Io,
  room_id: string,
  user_id: string,
  flags: UnbanFlags,
): Promise<number> {
  const data = JSON.stringify({ user_id, scope: scopeOf(flags) });
  const request = { room: room_id, role: "service", name: "room.unban", data } as const;
  const answer = await change(io, flags, request);
  const text = `${user_id} is no longer banned from ${placeOf(room_id, flags)}`;
  return await tell(io, flags, answer, text);
}
