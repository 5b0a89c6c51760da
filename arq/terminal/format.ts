/**
 * How a received message is shown: as a readable line on a terminal, as the exact payload bytes in a pipe, and with
 * `--json` as one JSON object on each line. Pure.
 */
import { isJson, utf8OrUndefined } from "@arqon/proto";
import type { Message } from "@arqon/sdk";
import { printable } from "./exit.ts";
import { type Io, print } from "./io.ts";

const encoder = new TextEncoder();
/** Longer payloads are cut on a terminal. */
const SHOWN_CHARS_MAX = 2_000;

function isJsonType(content_type: string): boolean {
  const type = (content_type.split(";")[0] ?? "").trim().toLowerCase();
  return type === "application/json" || type.endsWith("+json");
}

/** The line of a message for people: `room type sender data`. Nothing in a message can control the terminal. */
export function humanLine(message: Message): string {
  const text = utf8OrUndefined(message.data);
  const shown = text === undefined ? `(${message.data.length} bytes, not text)` : text;
  const cut = shown.length > SHOWN_CHARS_MAX
    ? `${shown.slice(0, SHOWN_CHARS_MAX)}… (${message.data.length} bytes)`
    : shown;
  return [message.room, message.type, message.sender, cut].map(printable).join(" ") + "\n";
}

/** The payload bytes of a message and a newline. */
export function rawLine(message: Message): Uint8Array {
  const line = new Uint8Array(message.data.length + 1);
  line.set(message.data);
  line[message.data.length] = 0x0a;
  return line;
}

/**
 * The `data` of a message as JSON text. JSON is unchanged, except that line breaks between tokens become spaces, so
 * that a message is one line. Text becomes a string, anything else `{"base64":…}`.
 */
function dataJson(message: Message): string {
  const text = utf8OrUndefined(message.data);
  if (text !== undefined && isJsonType(message.content_type) && isJson(text)) {
    return text.replace(/[\r\n]/g, " ");
  }
  const isText = message.content_type === "" || message.content_type.startsWith("text/");
  if (text !== undefined && isText) return JSON.stringify(text);
  return `{"base64":${JSON.stringify(message.data.toBase64())}}`;
}

/** The position from which a script continues after a line. */
type LinePlace = Pick<Message, "offset" | "epoch">;

/**
 * The JSON object of a message in one line. It has the members of a text frame, with `data` last. In a durable room
 * every line has `offset` and `epoch`, so the last one gives the position to continue from. `place` provides them for a
 * line that is no stored message.
 */
export function jsonLine(message: Message, place: LinePlace = message): Uint8Array {
  const { room, type, sender, timestamp_ms, content_type, message_id, trace_id } = message;
  const { offset, epoch } = place;
  const members: Record<string, unknown> = { room };
  if (message.signal !== undefined) members["signal"] = message.signal;
  else Object.assign(members, { type, sender });
  members["ts"] = timestamp_ms;
  if (content_type !== "") members["content_type"] = content_type;
  if (message_id !== "") members["message_id"] = message_id;
  if (trace_id !== "") members["trace_id"] = trace_id;
  if (typeof offset === "bigint") members["offset"] = String(offset);
  else if (offset > 0 || epoch !== "") members["offset"] = offset;
  if (epoch !== "") members["epoch"] = epoch;
  if (Object.keys(message.headers).length > 0) members["headers"] = message.headers;
  const head = JSON.stringify(members);
  if (message.signal !== undefined) return encoder.encode(`${head}\n`);
  return encoder.encode(`${head.slice(0, -1)},"data":${dataJson(message)}}\n`);
}

/** Writes one message: an object with `json`, a line on a terminal, else its bytes. */
export async function writeMessage(io: Io, message: Message, json: boolean): Promise<void> {
  if (json) return await io.stdout.write(jsonLine(message));
  if (io.stdout.is_tty) return await print(io.stdout, humanLine(message));
  await io.stdout.write(rawLine(message));
}
