/**
 * Text frames as server-sent events: the name of an event, its lines, and the positions of room and offset in the
 * frame. Pure; the format is the HTML standard's (9.2), `proto/text` has the frames. `sse_socket.ts` sends them.
 */

export const MESSAGE_START = '{"op":"msg","room":"';
/** As much of a frame's end as an offset and a signature take, in UTF-16 units. */
const TAIL_UNITS = 160;
/** The offset of a durable room's message. Only a signature can follow it. */
const OFFSET_AT_END = /,"offset":(\d+)(?:,"signature":"[^"]*")?\}$/;
/** Characters that a line of an event must not have. JSON has these only between its tokens. */
const LINE_ENDS = /\r\n|\r|\n/g;
const encoder = new TextEncoder();

/** The parts of a message's frame that a reader of events needs. */
export interface MessageFacts {
  /** "" for a signal without a room. */
  readonly room_id: string;
  /** 0: the message is not stored. */
  readonly offset: number;
  /** The event's name; "message" for an event without a name. */
  readonly name: "message" | "signal" | "gap";
}

/** Reads those facts from a message's text frame, without parsing all of it. */
export function factsOf(frame: string): MessageFacts {
  const room_end = frame.indexOf('"', MESSAGE_START.length);
  const room_id = frame.slice(MESSAGE_START.length, room_end);
  const offset = Number(OFFSET_AT_END.exec(frame.slice(-TAIL_UNITS))?.[1] ?? 0);
  const is_signal = frame.startsWith(',"signal":', room_end + 1);
  const is_gap = is_signal && frame.startsWith('{"kind":"GAP"', room_end + 11);
  return { room_id, offset, name: is_gap ? "gap" : is_signal ? "signal" : "message" };
}

/** The lines of an event, without its id; JSON on several lines stays the same JSON. */
function eventText(name: string, json: string): string {
  const data = /[\r\n]/.test(json) ? json.replace(LINE_ENDS, "\ndata: ") : json;
  return name === "message" ? `data: ${data}\n\n` : `event: ${name}\ndata: ${data}\n\n`;
}

/** The bytes of an event without its id. */
export function eventBytes(name: string, json: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(eventText(name, json));
}

/** The bytes of an event's id, which precede it; `id` is a text of `positions.ts`. */
export function idBytes(id: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(`id: ${id}\n`);
}

/**
 * A line that every reader ignores, used as a PING. No blank line follows: once there was an id, `httpx-sse` and
 * `r3labs/sse` make an event without data of each.
 */
export const HEARTBEAT: Uint8Array<ArrayBuffer> = encoder.encode(":\n");

/**
 * The reconnect delay of a reader, in ms, as a line of the event that follows. A line on its own would be an event
 * without data, which not every reader ignores.
 */
export function retryBytes(retry_ms: number): Uint8Array<ArrayBuffer> {
  return encoder.encode(`retry: ${Math.round(retry_ms)}\n`);
}
