/**
 * `arq tail`: prints the messages of a room as they come, for an operator. It uses the admin API and does not
 * enter the room. `arq sub` shows what a user of the room sees.
 */
import { findAdmin, follow, streamAdmin } from "../../bus/admin.ts";
import { printable } from "../../terminal/exit.ts";
import { type Ended, type Io, print } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

/** One server-sent event; `name` is "message" when the server gives none. */
export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/** Length above which an event ends the stream with an error; no event of the bus is longer. */
const EVENT_CHARS_MAX = 33_554_432;

/** Yields each event when it is complete. Throws RangeError for one that is too long. */
export async function* readEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  let rest = "";
  let name = "message";
  let data: string[] = [];
  let chars = 0;
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    rest += text;
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length + chars > EVENT_CHARS_MAX) throw new RangeError("an event without end");
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line === "") {
        if (data.length > 0) yield { name, data: data.join("\n") };
        name = "message";
        data = [];
        chars = 0;
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") name = value;
      if (field === "data") data.push(value);
      chars += line.length;
    }
  }
}

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
export async function tail(io: Io, room: string, flags: Flags<"tenant">): Promise<Ended> {
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
}
