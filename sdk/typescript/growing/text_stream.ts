/**
 * A message that this program writes piece by piece. Text written while a piece is under way becomes the next piece, so
 * a fast producer sends fewer and larger pieces; a piece is retried until it is stored.
 */
import { ArqonError } from "@arqon/proto";
import type { Room } from "../room/room.ts";
import type { Subscription } from "../subscription/subscription.ts";
import { ask, endOf, eventOf, growingRoom } from "./growing_messages.ts";
import type { Ended, StreamEnd } from "./growing_messages.ts";

/** Options of a stream, all optional. */
export interface TextStreamOptions {
  /**
   * Its id, 1 to 64 of `[A-Za-z0-9_-]`; by default a random one. The id of a growing message continues that message.
   */
  readonly id?: string;
  /** Type of the event that it becomes at the end; default "". */
  readonly type?: string;
  /** A text content type; default text/plain. */
  readonly content_type?: string;
  /** Aborting ends the stream as `abort` does, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Buffered characters above which `write` waits. */
const WAITING_UNITS = 65_536;
const PIECE_UNITS = 16_384;

interface Started {
  readonly seq: number;
  /** Tells messages of that id apart. */
  readonly started_ms: number;
  readonly idle_ms: number;
}

/** Begins a growing message in a durable room. Rejects with the refusal. */
export async function openStream(room: Room, options: TextStreamOptions = {}): Promise<TextStream> {
  options.signal?.throwIfAborted();
  const id = options.id ?? crypto.randomUUID();
  const { type = "", content_type = "text/plain", signal } = options;
  const started = await ask<Started>(room, "start", { id, type, content_type }, signal);
  return new TextStream(room, id, started, signal);
}

/** A growing message; `openStream` creates it. */
export class TextStream {
  readonly id: string;
  readonly #room: Room;
  readonly #ended = new AbortController();
  readonly #events: Subscription;
  readonly #started_ms: number;
  readonly #keeping: ReturnType<typeof setInterval>;
  #seq: number;
  #waiting = "";
  #sending: Promise<void> | undefined;
  #is_closed = false;
  /** The end by another client or the bus, if it was reported. */
  #end: Ended | undefined;

  constructor(
    room: Room,
    id: string,
    { seq, idle_ms, started_ms }: Started,
    signal: AbortSignal | undefined,
  ) {
    this.id = id;
    this.#room = room;
    this.#seq = seq;
    this.#started_ms = started_ms;
    this.#events = growingRoom(room).subscribe();
    // The loop over it gets the failure.
    this.#events.ready.catch(() => {});
    void this.#receive();
    this.#keeping = setInterval(() => this.#keep(), idle_ms / 3);
    // A message that cannot be aborted has ended, or is abandoned: the bus ends it.
    const abort = () => void this.abort(String(signal?.reason ?? "")).catch(() => {});
    signal?.addEventListener("abort", abort, { signal: this.#ended.signal });
    if (signal?.aborted) abort();
  }

  /** Aborted when another client has stopped the message, or it has ended otherwise; `reason` is an ArqonError. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Adds text. Resolves when there is room for more; rejects when the message has ended. */
  async write(text: string): Promise<void> {
    this.#requireOpen();
    this.#waiting += text;
    this.#sending ??= this.#send();
    while (this.#waiting.length > WAITING_UNITS && this.#sending !== undefined) await this.#sending;
    this.#requireOpen();
  }

  /** Sends the buffered text, and stores the message in the room's log. */
  async finish(): Promise<StreamEnd> {
    this.#requireOpen();
    this.#is_closed = true;
    try {
      await this.#sending;
      // An incomplete surrogate pair at the end is sent as it is.
      await this.#send(true);
      this.#ended.signal.throwIfAborted();
      return await ask(this.#room, "finish", { id: this.id, seq: this.#seq });
    } finally {
      this.#close(new ArqonError("growing-ended", "finished"));
    }
  }

  /** Ends the message with its present text and a reason; with `keep: false` it is not stored. */
  async abort(reason = "", { keep = true }: { readonly keep?: boolean } = {}): Promise<StreamEnd> {
    this.#requireOpen();
    this.#is_closed = true;
    this.#waiting = "";
    try {
      await this.#sending;
      const data = { id: this.id, reason: plain(reason), keep };
      return await ask(this.#room, "abort", data);
    } finally {
      this.#close(new ArqonError("growing-ended", "aborted"));
    }
  }

  /**
   * How another client or the bus ended it, from a report or a query. Rejects with `growing-conflict` while it grows,
   * with `growing-unknown` if the bus no longer knows it, or as any command.
   */
  async outcome(): Promise<StreamEnd> {
    const end = this.#end ?? await ask<Ended>(this.#room, "outcome", { id: this.id });
    if (end.started_ms === this.#started_ms) return endOf(this.id, end);
    throw new ArqonError("growing-unknown", `${this.id} is another message`);
  }

  #requireOpen(): void {
    this.#ended.signal.throwIfAborted();
    if (this.#is_closed) throw new ArqonError("growing-ended", "it is being ended");
  }

  async #send(to_the_end = false): Promise<void> {
    try {
      for (let text = this.#take(to_the_end); text !== ""; text = this.#take(to_the_end)) {
        const seq = this.#seq + 1;
        await ask(this.#room, "append", { id: this.id, seq, text }, this.#ended.signal);
        this.#seq = seq;
      }
    } catch (error) {
      this.#close(error);
    } finally {
      this.#sending = undefined;
    }
  }

  /** The next piece; "" without one. The first half of a surrogate pair waits for the second. */
  #take(to_the_end: boolean): string {
    const text = this.#waiting.slice(0, PIECE_UNITS);
    const is_all = text.length === this.#waiting.length;
    const is_half = /[\uD800-\uDBFF]$/.test(text) && !(to_the_end && is_all);
    const piece = is_half ? text.slice(0, -1) : text;
    this.#waiting = this.#waiting.slice(piece.length);
    return piece.toWellFormed();
  }

  #keep(): void {
    if (this.#sending !== undefined || this.#is_closed) return;
    ask(this.#room, "append", { id: this.id }, this.#ended.signal).catch((error) => {
      this.#close(error);
    });
  }

  /** Subscribes to the end by others. Without the grant for that, the refusal of the next piece shows it. */
  async #receive(): Promise<void> {
    try {
      for await (const message of this.#events) {
        const event = eventOf(message);
        if (event?.op !== "end" || event.id !== this.id) continue;
        // It is about another message: ids may be reused.
        if (event.started_ms !== this.#started_ms) continue;
        this.#end ??= event;
        if (this.#is_closed) continue;
        const why = event.reason === "" ? event.outcome : `${event.outcome}: ${event.reason}`;
        this.#close(new ArqonError("growing-ended", why));
      }
    } catch {
      // The connection reports the reason.
    }
  }

  #close(why: unknown): void {
    clearInterval(this.#keeping);
    this.#events.close();
    this.#is_closed = true;
    this.#waiting = "";
    this.#ended.abort(why);
  }
}

const plain = (reason: string) => reason.replaceAll(/\p{Cc}/gu, " ").toWellFormed().slice(0, 256);

/**
 * Writes the text of a source into one message, and finishes it. If another client stops the message, it calls `return`
 * of the source's iterator and resolves with the outcome `stopped`; an error of the source aborts the message and
 * rejects.
 */
export async function stream(
  room: Room,
  source: AsyncIterable<string> | Iterable<string>,
  options: TextStreamOptions = {},
): Promise<StreamEnd> {
  const out = await openStream(room, options);
  const iterator = Symbol.asyncIterator in source
    ? source[Symbol.asyncIterator]()
    : source[Symbol.iterator]();
  const { promise: ended, reject } = Promise.withResolvers<never>();
  // It may end between two races.
  ended.catch(() => {});
  out.ended.addEventListener("abort", () => reject(out.ended.reason));
  try {
    for (;;) {
      const { done, value } = await Promise.race([iterator.next(), ended]);
      if (done) return await out.finish();
      await out.write(value);
    }
  } catch (error) {
    // Does not wait for a source that ignores the call.
    void Promise.resolve(iterator.return?.()).catch(() => {});
    options.signal?.throwIfAborted();
    if (out.ended.aborted) {
      const end = await endBy(out, error);
      if (end?.outcome === "stopped") return end;
      throw error;
    }
    // The source's failure is thrown; the bus ends an abandoned message.
    await out.abort(error instanceof Error ? error.message : String(error)).catch(() => {});
    throw error;
  }
}

/** How the bus ended it, if that caused the error; otherwise undefined. */
async function endBy(out: TextStream, error: unknown): Promise<StreamEnd | undefined> {
  if (!(error instanceof ArqonError) || error.reason !== "growing-ended") return undefined;
  // Without it the caller throws the error that ended the message.
  return await out.outcome().catch(() => undefined);
}
