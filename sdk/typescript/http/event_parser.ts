/** Server-sent events as they come, piece by piece (the HTML standard, 9.2.6). Pure; what they say is not known here. */

/** One event. */
export interface ServerEvent {
  /** "message" where it has no name. */
  readonly name: string;
  readonly data: string;
}

/** Reads one stream. */
export class EventParser {
  readonly #decoder = new TextDecoder();
  #line = "";
  #name = "";
  #data: string[] = [];

  /** The events that are whole with these bytes. */
  read(bytes: Uint8Array): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.#line + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#line = lines.pop()!;
    for (const line of lines) this.#take(line.replace(/\r$/, ""), events);
    return events;
  }

  #take(line: string, events: ServerEvent[]): void {
    if (line === "") {
      if (this.#data.length > 0) {
        events.push({ name: this.#name || "message", data: this.#data.join("\n") });
      }
      this.#name = "";
      this.#data = [];
    }
    const [, field, value = ""] = /^([^:]*):? ?(.*)$/s.exec(line)!;
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#name = value;
  }
}
