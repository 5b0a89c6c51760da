/**
 * `arq tail`: prints the messages of a room as they come, for an operator. It uses the admin API and does not
 * enter the room. `arq sub` shows what a user of the room sees.
 */
import { findAdmin, follow, streamAdmin } from "../../bus/admin.ts";
import { readEvents } from "../../bus/events.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

/** Longer payloads are cut on a terminal. */
const SHOWN_CHARS_MAX = 2_000;

function textOf(data: unknown): string {
  const text = typeof data === "string" ? data : JSON.stringify(data) ?? "";
  return text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}…` : text;
}

/** The line of a message: `time type sender data`. Nothing in a message can drive the terminal. */
function tailLine(message: Readonly<Record<string, unknown>>): string {
  const { ts, type, sender, data } = message;
  const time = typeof ts === "number" && Math.abs(ts) <= 8.64e15 ? new Date(ts).toISOString() : "-";
  return [time, String(type ?? "-"), String(sender ?? "-"), textOf(data)].map(printable).join(" ") +
    "\n";
}

/** Prints messages until `--count` is reached or Ctrl-C. Says on stderr how many were left out. */
export async function tail(io: Io, room: string, flags: Flags<"tenant">): Promise<number> {
  const admin = await findAdmin(io, flags);
  const stream = await streamAdmin(io, admin, `/v1/rooms/${flags.tenant}/${room}/tail`);
  await print(io.stderr, `Tailing ${room} of tenant ${flags.tenant}\n`);
  let left = flags.count ?? Infinity;
  await follow(io, admin, async () => {
    for await (const { name, data } of readEvents(stream)) {
      if (name === "gap") {
        await print(io.stderr, `arq: messages are missing here: ${printable(data)}\n`);
        continue;
      }
      await print(io.stdout, flags.json === true ? `${data}\n` : tailLine(JSON.parse(data)));
      if (--left === 0) return true;
    }
    return false;
  });
  return EXIT.ok;
}
