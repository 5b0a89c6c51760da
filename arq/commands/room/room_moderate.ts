/** `arq room kick`, `ban` and `unban`: who may be here. They need a token of role service or admin. */
import { usageError } from "../../terminal/exit.ts";
import type { Io } from "../../terminal/io.ts";
import { change, tell } from "../../rooms/room_command.ts";
import type { RoomFlags } from "../../rooms/room_command.ts";
import { ttlText } from "../../answers/room_text.ts";

/** The options of `kick`. */
export interface KickFlags extends RoomFlags {
  /** One connection in place of all of a user's. */
  readonly connection?: string;
  readonly reason?: string;
}

/** The options of `unban`. */
export interface UnbanFlags extends RoomFlags {
  /** The ban of this room, not that of the whole tenant. */
  readonly roomOnly?: boolean;
}

/** The options of `ban`. */
export interface BanFlags extends UnbanFlags {
  /** Seconds; absent: without end. */
  readonly ttl?: number;
  readonly reason?: string;
}

const scopeOf = ({ roomOnly }: UnbanFlags) => roomOnly === true ? "room" : "tenant";

/** Where a ban holds, in words. */
function placeOf(room_id: string, flags: UnbanFlags): string {
  return flags.roomOnly === true ? `room ${room_id}` : "the whole tenant";
}

/** Ends the subscriptions of a user, or of one connection, to the room. */
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

/** Bans a user from the tenant, or from the room alone. */
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

/** Lifts a ban. */
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
