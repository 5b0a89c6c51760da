/**
 * `arq room lock` and `unlock`. The connection ends with the command; the lock stays, for whoever has
 * its fence, until it is unlocked or its lease ends.
 */
import type { Uint64 } from "@arqon/sdk";
import { printable } from "../exit.ts";
import { print } from "../io.ts";
import type { Io } from "../io.ts";
import { change, positionText, tell } from "../room_command.ts";
import type { RoomFlags } from "../room_command.ts";
import { whenText } from "../room_text.ts";

/** The options of `lock`. */
export interface LockFlags extends RoomFlags {
  /** Seconds; absent: the bus's own lease. */
  readonly ttl?: number;
  /** Of the lock that is held: renews it. */
  readonly fence?: Uint64;
}

/** The options of `unlock`. */
export interface UnlockFlags extends RoomFlags {
  readonly fence: Uint64;
}

/** Locks. Prints the fence, and nothing else, on stdout; on stderr until when. */
export async function roomLock(io: Io, room_id: string, flags: LockFlags): Promise<number> {
  const { ttl, fence } = flags;
  const data = JSON.stringify(ttl === undefined ? {} : { ttl_ms: ttl * 1_000 });
  const held = fence === undefined ? {} : { fence };
  const answer = await change(io, flags, { ...held, room: room_id, name: "room.lock", data });
  const { members } = answer;
  const until = whenText(members["until_ms"]);
  const text = `${room_id} is locked until ${until}${positionText(members)}`;
  await print(io.stderr, `${printable(text)}\n`);
  return await tell(io, flags, answer, String(members["fence"]));
}

/** Ends the lock that the fence belongs to. */
export async function roomUnlock(io: Io, room_id: string, flags: UnlockFlags): Promise<number> {
  const { fence } = flags;
  const answer = await change(io, flags, { fence, room: room_id, name: "room.unlock" });
  return await tell(io, flags, answer, `${room_id} is unlocked${positionText(answer.members)}`);
}
