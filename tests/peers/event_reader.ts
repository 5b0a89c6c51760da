/** A reader of server-sent events for tests: event by event, parsed as in the HTML standard. */

/** One event. */
export interface ReadEvent {
  /** "message" if it has no name. */
  readonly name: string;
  /** The last id that came with it or before it. */
  readonly id: string;
  // deno-lint-ignore no-explicit-any -- the shape depends on the event
  readonly data: any;
}

/** Headers and token of a reader. */
export interface ReaderOptions {
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An open stream; disposing of it closes the connection. */
export class EventReader implements Disposable {
  readonly response: Response;
  /** The last `retry:`. */
  retry_ms = 0;
  /** The number of comment lines. */
  comments = 0;
  #id = "";
  #name = "message";
  #data: string[] = [];
  #text = "";
  readonly #leave: AbortController;
  readonly #reader: ReadableStreamDefaultReader<string>;

  constructor(response: Response, leave: AbortController = new AbortController()) {
    this.response = response;
    this.#leave = leave;
    this.#reader = (response.body as ReadableStream<Uint8Array<ArrayBuffer>>)
      .pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Rejects with `status reason` unless the answer is a stream. */
  static async open(url: string, { token, headers }: ReaderOptions = {}): Promise<EventReader> {
    const leave = new AbortController();
    const response = await fetch(url, {
      headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
      signal: leave.signal,
    });
    if (response.headers.get("content-type") !== "text/event-stream") {
      throw new Error(`${response.status} ${(await response.json()).reason}`);
    }
    return new EventReader(response, leave);
  }

  /** The next event; undefined at the end. */
  async next(): Promise<ReadEvent | undefined> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end < 0) {
        const { done, value } = await this.#reader.read();
        if (done) return undefined;
        this.#text += value;
        continue;
      }
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      const event = line === "" ? this.#take() : this.#read(line);
      if (event !== undefined) return event;
    }
  }

  /** The next event with this name; skips others before it. */
  async until(name: string): Promise<ReadEvent> {
    for (;;) {
      const event = await this.next();
      if (event === undefined) throw new Error(`the stream ended before ${name}`);
      if (event.name === name) return event;
    }
  }

  /** Everything until the end. */
  async rest(): Promise<ReadEvent[]> {
    const events: ReadEvent[] = [];
    for (let event; (event = await this.next()) !== undefined;) events.push(event);
    return events;
  }

  #read(line: string): undefined {
    const [field = "", value = ""] = /^([^:]*): ?(.*)$/.exec(line)?.slice(1) ?? [];
    if (field === "") this.comments++;
    else if (field === "id") this.#id = value;
    else if (field === "event") this.#name = value;
    else if (field === "retry") this.retry_ms = Number(value);
    else if (field === "data") this.#data.push(value);
  }

  #take(): ReadEvent | undefined {
    const name = this.#name;
    const data = this.#data;
    this.#name = "message";
    this.#data = [];
    if (data.length === 0) return undefined;
    return { name, id: this.#id, data: JSON.parse(data.join("\n")) };
  }

  /** Leaves the stream; resolves when its source knows. */
  cancel(): Promise<void> {
    return this.#reader.cancel();
  }

  [Symbol.dispose](): void {
    this.#leave.abort();
  }
}
