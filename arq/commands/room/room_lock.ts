/**
 * `arq room lock`: locks a room. The connection ends with the command. The lock stays
 * until its lease ends or until somebody with its fence unlocks it. `room_lock_run.ts` holds a lock while a
 * program runs.
 */
import { ArqonError } from "@arqon/sdk";
import { printable } from "../../terminal/exit.ts";
import { pause } from "../../rooms/flow.ts";
import { type Io, print } from "../../terminal/io.ts";
import { change, positionText, tell } from "../../rooms/room_command.ts";
import { whenText } from "../../answers/room_text.ts";
import type { Flags } from "../../program/flags.ts";

/** Pause between two requests for a lock that somebody else holds. */
const LOOK_MS = 500;

/** The answer of `ask`, which is repeated while somebody else holds the lock and the wait is not over. */
export async function untilFree<Answer>(
  io: Io,
  room_id: string,
  { wait = 0 }: Pick<Flags, "wait">,
  ask: () => Promise<Answer>,
): Promise<Answer> {
  const until_ms = io.monotonic_ms() + wait * 1_000;
  for (let is_first = true;; is_first = false) {
    try {
      return await ask();
    } catch (error) {
      const left_ms = until_ms - io.monotonic_ms();
      const is_locked = error instanceof ArqonError && error.reason === "locked";
      if (!is_locked || left_ms <= 0) throw error;
      if (is_first) await print(io.stderr, `arq: ${room_id} is locked; waiting\n`);
      await pause(Math.min(LOOK_MS, left_ms), io.signal);
      io.signal.throwIfAborted();
    }
  }
}

/** Locks a room. Prints only the fence on stdout, and the end of the lease on stderr. */
export async function roomLock(io: Io, room_id: string, flags: Flags): Promise<number> {
  const { ttl, fence } = flags;
  const data = JSON.stringify(ttl === undefined ? {} : { ttl_ms: ttl * 1_000 });
  const held = fence === undefined ? {} : { fence };
  const answer = await untilFree(
    io,
    room_id,
    flags,
    () => change(io, flags, { ...held, room: room_id, name: "room.lock", data }),
  );
  const { members } = answer;
  const until = whenText(members["until_ms"]);
  const text = `${room_id} is locked until ${until}${positionText(members)}`;
  await print(io.stderr, `${printable(text)}\n`);
  return await tell(io, flags, answer, String(members["fence"]));
}
