/**
 * `arq tail`: prints the messages of a room as they come, for an operator. It uses the admin API and does not join the
 * room. `arq sub` shows what a user of the room receives.
 */
import { EventParser, type ServerEvent } from "../../../sdk/typescript/http/http_socket.ts";
import { findAdmin } from "../../bus/admin.ts";
import { printable } from "../../terminal/exit.ts";
import { type Ended, type Io, note, print } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { time } from "../../answers/figures.ts";
import { shownValue } from "../../answers/room_text.ts";

/** Bytes of an unfinished event above which the stream ends with an error; no event of the bus is longer. */
const EVENT_BYTES_MAX = 33_554_432;
const NEWLINE = 0x0a;

/** Yields each event when it is complete. Throws RangeError for one that is too long. */
export async function* readEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const parser = new EventParser();
  let size_bytes = 0;
  for await (const bytes of stream) {
    const events = parser.read(bytes);
    // An empty line also ends comments.
    const is_end = bytes.at(-1) === NEWLINE && bytes.at(-2) === NEWLINE;
    size_bytes = events.length > 0 || is_end ? 0 : size_bytes + bytes.length;
    if (size_bytes > EVENT_BYTES_MAX) throw new RangeError("an event that is too long");
    yield* events;
  }
}

/** The line of a message: `time type sender data`. Nothing in a message can control the terminal. */
function tailLine(message: Readonly<Record<string, unknown>>): string {
  const { ts, type, sender, data } = message;
  const at = typeof ts === "number" ? time(ts) : "-";
  return `${[at, String(type ?? "-"), String(sender ?? "-"), data].map(shownValue).join(" ")}\n`;
}

/** Prints messages until `--count` is reached or Ctrl-C. Reports on stderr how many were left out. */
export async function tail(io: Io, room: string, flags: Flags<"tenant">): Promise<Ended> {
  const admin = await findAdmin(io, flags);
  const stream = await admin.stream(`/v1/rooms/${flags.tenant}/${room}/tail`);
  await print(io.stderr, `Tailing ${room} of tenant ${flags.tenant}\n`);
  let left = flags.count ?? Infinity;
  await admin.follow(async () => {
    for await (const { name, data } of readEvents(stream)) {
      if (name === "gap") {
        await note(io, `messages are missing here: ${printable(data)}`);
        continue;
      }
      await print(io.stdout, flags.json === true ? `${data}\n` : tailLine(JSON.parse(data)));
      if (--left === 0) return true;
    }
    return false;
  });
}
