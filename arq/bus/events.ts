/** Reads server-sent events (WHATWG HTML, 9.2) from a stream of bytes. Pure apart from the stream. */

/** One server-sent event; `name` is "message" when the server gives none. */
export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/** Length above which an event ends the stream with an error; no event of the bus is longer. */
const EVENT_CHARS_MAX = 33_554_432;

/**
 * Yields each event when it is complete, without comments. Throws RangeError for an event that is too long.
 */
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
