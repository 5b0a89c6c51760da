/**
 * A message that this program writes piece by piece. What is written while a piece is under way makes the next
 * one, so a fast producer sends fewer and larger pieces; a piece is sent again until it is kept.
 */
import { ArqonError } from "@arqon/proto";
import type { Room } from "../room/room.ts";
import type { Subscription } from "../subscription/subscription.ts";
import { ask, type Ended, endOf, eventOf, growingRoom, type StreamEnd } from "./growing_room.ts";

/** What a stream takes; nothing of it is needed. */
export interface TextStreamOptions {
  /** Its name, 1 to 64 of `[A-Za-z0-9_-]`; by default a random one. A name that grows goes on where it is. */
  readonly id?: string;
  /** The type of the event that it becomes; default "". */
  readonly type?: string;
  /** A type of text; default text/plain. */
  readonly content_type?: string;
  /** Aborting ends the stream as `abort` does, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Characters that may wait before `write` waits. */
const WAITING_UNITS = 65_536;
/** Characters of one piece. */
const PIECE_UNITS = 16_384;

interface Started {
  readonly seq: number;
  /** Tells messages of that id apart; an older Shield does not send it. */
  readonly started_ms?: number;
  readonly idle_ms: number;
}

/** Begins a message that grows in a durable room. Rejects with the refusal. */
export async function openStream(room: Room, options: TextStreamOptions = {}): Promise<TextStream> {
  options.signal?.throwIfAborted();
  const id = options.id ?? crypto.randomUUID();
  const { type = "", content_type = "text/plain", signal } = options;
  const started = await ask<Started>(room, "start", { id, type, content_type }, signal);
  return new TextStream(room, id, started, signal);
}

/** A message that grows. Made by `openStream`. */
export class TextStream {
  readonly id: string;
  readonly #room: Room;
  readonly #ended = new AbortController();
  readonly #heard: Subscription;
  readonly #started_ms: number | undefined;
  readonly #keeping: ReturnType<typeof setInterval>;
  #seq: number;
  #waiting = "";
  #sending: Promise<void> | undefined;
  #is_closed = false;
  /** The end that somebody else gave it, if that was heard. */
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
    this.#heard = growingRoom(room).subscribe();
    this.#heard.ready.catch(() => {});
    void this.#hear();
    this.#keeping = setInterval(() => this.#keep(), idle_ms / 3);
    const abort = () => void this.abort(String(signal?.reason ?? "")).catch(() => {});
    signal?.addEventListener("abort", abort, { signal: this.#ended.signal });
  }

  /** Aborted when somebody has stopped the message, or it has ended in another way; `reason` is an ArqonError. */
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

  /** Sends what is queued, and makes the message one of the room's log. */
  async finish(): Promise<StreamEnd> {
    this.#requireOpen();
    this.#is_closed = true;
    try {
      await this.#sending;
      // A half character at the end stands for itself.
      await this.#send(true);
      this.#ended.signal.throwIfAborted();
      return await ask(this.#room, "finish", { id: this.id, seq: this.#seq });
    } finally {
      this.#close(new ArqonError("growing-ended", "finished"));
    }
  }

  /** Ends the message as it is, and says why; with `keep: false` nothing of it is kept. */
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
   * How it ended where that was somebody else's doing, as heard or asked of the bus. Rejects with `growing-conflict`
   * while it grows, with `growing-unknown` where the bus knows nothing of it any longer, or as any command.
   */
  async outcome(): Promise<StreamEnd> {
    const end = this.#end ?? await ask<Ended>(this.#room, "outcome", { id: this.id });
    if (!this.#isOwn(end)) throw new ArqonError("growing-unknown", `${this.id} is another message`);
    return endOf(this.id, end);
  }

  /** The same id may have been another message before, and may be one by now. */
  #isOwn({ started_ms = this.#started_ms }: Ended): boolean {
    return this.#started_ms === undefined || started_ms === this.#started_ms;
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

  /** The next piece; "" while there is none. Half of a surrogate pair waits for its other half. */
  #take(to_the_end: boolean): string {
    const text = this.#waiting.slice(0, PIECE_UNITS);
    const is_all = text.length === this.#waiting.length;
    const is_half = /[\uD800-\uDBFF]$/.test(text) && !(to_the_end && is_all);
    const piece = is_half ? text.slice(0, -1) : text;
    this.#waiting = this.#waiting.slice(piece.length);
    return piece.toWellFormed();
  }

  /** Says that the producer is still there. */
  #keep(): void {
    if (this.#sending !== undefined || this.#is_closed) return;
    ask(this.#room, "append", { id: this.id }, this.#ended.signal).catch((error) => {
      this.#close(error);
    });
  }

  /** Learns when somebody else ends the message. Without the grant to receive it, the next piece says so. */
  async #hear(): Promise<void> {
    try {
      for await (const message of this.#heard) {
        const event = eventOf(message);
        if (event?.op !== "end" || event.id !== this.id || !this.#isOwn(event)) continue;
        this.#end ??= event;
        if (this.#is_closed) continue;
        const why = event.reason === "" ? event.outcome : `${event.outcome}: ${event.reason}`;
        this.#close(new ArqonError("growing-ended", why));
      }
    } catch {
      // The connection says why.
    }
  }

  #close(why: unknown): void {
    clearInterval(this.#keeping);
    this.#heard.close();
    this.#is_closed = true;
    this.#waiting = "";
    this.#ended.abort(why);
  }
}

/** A reason as the bus takes it. */
const plain = (reason: string) => reason.replaceAll(/\p{Cc}/gu, " ").toWellFormed().slice(0, 256);

/**
 * Writes everything that a source gives into one message, and finishes it. When somebody stops the message, the
 * source is told to end (`return` of its iterator), and it resolves with the outcome `stopped`; an error of the
 * source aborts the message and rejects.
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
  ended.catch(() => {});
  out.ended.addEventListener("abort", () => reject(out.ended.reason));
  try {
    for (;;) {
      const { done, value } = await Promise.race([iterator.next(), ended]);
      if (done) return await out.finish();
      await out.write(value);
    }
  } catch (error) {
    // Nobody waits for a source that does not listen.
    void Promise.resolve(iterator.return?.()).catch(() => {});
    if (out.ended.aborted) {
      options.signal?.throwIfAborted();
      const end = await endBy(out, error);
      if (end?.outcome === "stopped") return end;
      throw error;
    }
    await out.abort(error instanceof Error ? error.message : String(error)).catch(() => {});
    throw error;
  }
}

/** How the bus ended it, where that is why; undefined: it has not, or does not say. */
async function endBy(out: TextStream, error: unknown): Promise<StreamEnd | undefined> {
  if (!(error instanceof ArqonError) || error.reason !== "growing-ended") return undefined;
  return await out.outcome().catch(() => undefined);
}
