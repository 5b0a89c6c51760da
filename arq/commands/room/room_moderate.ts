/**
 * `arq room kick`, `ban` and `unban`: put users out of a room and keep them out. They need a token of role
 * service or admin.
 */
import { usageError } from "../../terminal/exit.ts";
import type { Io } from "../../terminal/io.ts";
import { change, tell } from "../../rooms/room_command.ts";
import type { RoomFlags } from "../../rooms/room_command.ts";
import { ttlText } from "../../answers/room_text.ts";

/** Where a ban holds. */
export type BanScope = "room" | "tenant";

/** How long a ban lasts where nothing is said: what the console offers first. */
export const BAN_SECONDS = 600;

/** The options of `arq room kick`. */
export interface KickFlags extends RoomFlags {
  /** One connection, instead of all connections of the user. */
  readonly connection?: string;
  readonly reason?: string;
}

/** The options of `arq room unban`. */
export interface UnbanFlags extends RoomFlags {
  /** Of this room alone, as in the console and over HTTP, or of the whole tenant. */
  readonly scope: BanScope;
}

/** The options of `arq room ban`. */
export interface BanFlags extends UnbanFlags {
  /** Length of the ban in seconds; absent: `BAN_SECONDS`. */
  readonly ttl?: number;
  /** The ban has no end. */
  readonly forever?: boolean;
  readonly reason?: string;
}

/** The place where a ban holds, in words. */
function placeOf(room_id: string, { scope }: UnbanFlags): string {
  return scope === "room" ? `room ${room_id}` : "the whole tenant";
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

/** Bans a user from the room, or from the whole tenant; for a time, unless it is said to be forever. */
export async function roomBan(
  io: Io,
  room_id: string,
  user_id: string,
  flags: BanFlags,
): Promise<number> {
  const { ttl = BAN_SECONDS, forever = false, reason, scope } = flags;
  const ttl_ms = forever ? undefined : ttl * 1_000;
  const data = JSON.stringify({ user_id, reason, ttl_ms, scope });
  const request = { room: room_id, role: "service", name: "room.ban", data } as const;
  const answer = await change(io, flags, request);
  const end = forever ? "without end" : `for ${ttlText(ttl)}`;
  const text = `${user_id} is banned from ${placeOf(room_id, flags)} ${end}`;
  return await tell(io, flags, answer, text);
}

/** Lifts a ban of a user. */
export async function roomUnban(
  io: Io,
  room_id: string,
  user_id: string,
  flags: UnbanFlags,
): Promise<number> {
  const data = JSON.stringify({ user_id, scope: flags.scope });
  const request = { room: room_id, role: "service", name: "room.unban", data } as const;
  const answer = await change(io, flags, request);
  const text = `${user_id} is no longer banned from ${placeOf(room_id, flags)}`;
  return await tell(io, flags, answer, text);
}
