/**
 * A stream of events as the answers of consecutive long-polls: for clients behind a proxy that holds back an answer
 * until its end. `shield/sse/http/sessions.ts` has the requests.
 */
import { Buffer } from "node:buffer";
import { ArqonError } from "@arqon/proto";
import type { ByteSink, OutStream } from "../../shared/http1/byte_stream.ts";

/** The bytes that are queued before the writer has to wait. */
const WAITING_BYTES = 65_536;

/** One stream. A missing poll shows that the client has gone. */
export class PolledStream implements OutStream {
  readonly #patience_ms: number;
  #sink: ByteSink | undefined;
  #missing: ReturnType<typeof setTimeout> | undefined;
  /** The number of polls, including repeated ones. */
  #polls = 0;
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  #waiting_bytes = 0;
  /** The number of the next answer, and the one before it. */
  #next = 0;
  #answer: Promise<Uint8Array<ArrayBuffer>> | undefined;
  #come = Promise.withResolvers<void>();
  readonly #emptied = Promise.withResolvers<void>();
  #is_closing = false;

  /** `patience_ms`: how long the stream waits for the next poll if the client of the last one may have gone. */
  constructor(patience_ms: number) {
    this.#patience_ms = patience_ms;
  }

  flow(sink: ByteSink): void {
    this.#sink = sink;
  }

  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    this.#waiting.push(bytes);
    this.#waiting_bytes += bytes.length;
    this.#come.resolve();
    return this.#waiting_bytes < WAITING_BYTES;
  }

  /**
   * The answer with that number, counted from 0: everything since the previous answer, after `wait_ms` at the latest.
   * The last answer can be requested again, since a proxy or a client may repeat a request. `gone`: this request's
   * client has disconnected. Rejects with `invalid-field` (400).
   */
  take(number: number, within_ms: number, gone?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const repeated = number === this.#next - 1 ? this.#answer : undefined;
    if (number !== this.#next && repeated === undefined) {
      const detail = `poll ${number}; expected ${this.#next}`;
      return Promise.reject(new ArqonError("invalid-field", detail));
    }
    clearTimeout(this.#missing);
    const poll = ++this.#polls;
    gone?.addEventListener("abort", () => poll === this.#polls && this.#await(), { once: true });
    if (repeated !== undefined) return repeated;
    this.#next++;
    return this.#answer = this.#taken(within_ms);
  }

  /** The client of the poll with that number has disconnected, from another Shield. It may have polled again. */
  missed(number: number): void {
    if (number === this.#next - 1) this.#await();
  }

  async #taken(within_ms: number): Promise<Uint8Array<ArrayBuffer>> {
    const timer = setTimeout(() => this.#come.resolve(), within_ms);
    await this.#come.promise;
    clearTimeout(timer);
    if (!this.#is_closing) this.#come = Promise.withResolvers();
    const bytes = new Uint8Array(Buffer.concat(this.#waiting));
    const was_full = this.#waiting_bytes >= WAITING_BYTES;
    this.#waiting = [];
    this.#waiting_bytes = 0;
    if (was_full) this.#sink?.written();
    if (this.#is_closing) this.#emptied.resolve();
    // A client that left before its first answer does not know where to poll.
    if (this.#polls === 1) this.#await();
    return bytes;
  }

  /** Ends the stream unless a poll arrives. */
  #await(): void {
    if (this.#is_closing) return;
    clearTimeout(this.#missing);
    this.#missing = setTimeout(() => this.#sink?.ended(), this.#patience_ms);
  }

  /** Resolves once the last answer was requested. */
  closeWrite(): Promise<void> {
    this.#is_closing = true;
    if (this.#waiting_bytes === 0) this.#emptied.resolve();
    return this.#emptied.promise;
  }

  close(): void {
    this.#sink = undefined;
    this.#is_closing = true;
    clearTimeout(this.#missing);
    this.#come.resolve();
    this.#emptied.resolve();
  }
}
