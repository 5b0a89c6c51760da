/** Reads server-sent events (WHATWG HTML, 9.2) from a stream of bytes. Pure but for the stream. */

/** One event; `name` is "message" where the server gives none. */
export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/** No event of the bus is longer; one that is, ends the stream with an error. */
const EVENT_CHARS_MAX = 33_554_432;

/** Each event as it is complete; comments are left out. Throws RangeError for one without end. */
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
