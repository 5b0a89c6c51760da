/**
 * Live messages of one room that must wait until older ones have been read. Bounded: what does not
 * fit is forgotten, for it is in the log; only how far it went is remembered.
 */
import type { LiveMessage } from "./message.ts";

/** The most messages and bytes that may wait. */
export interface LiveBufferBounds {
  readonly messages: number;
  readonly bytes: number;
}

/** Former streams of which late messages may come. */
const FORMER_STREAMS = 16;

/** Live messages that wait; in no order until they are taken. */
export class LiveBuffer {
  readonly #bounds: LiveBufferBounds;
  #messages: LiveMessage[] = [];
  #bytes = 0;
  /** Streams of which nothing is taken any more; the latest last. */
  #former: string[] = [];
  /** The highest offset that was forgotten, by stream. */
  readonly #forgotten = new Map<string, number>();

  constructor(bounds: LiveBufferBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#messages.length;
  }

  /**
   * Adds a message. `buffer-full`: it is forgotten; `old-stream`: nothing is taken of that stream
   * any more.
   */
  add(message: LiveMessage): "kept" | "buffer-full" | "old-stream" {
    const { stream, offset } = message;
    if (this.#former.includes(stream)) return "old-stream";
    const bytes = this.#bytes + message.envelope.length;
    if (this.size >= this.#bounds.messages || bytes > this.#bounds.bytes) {
      this.#forgotten.set(stream, Math.max(this.forgotten(stream), offset));
      return "buffer-full";
    }
    this.#messages.push(message);
    this.#bytes = bytes;
    return "kept";
  }

  /** The highest offset of the stream that was forgotten; 0: none. */
  forgotten(stream: string): number {
    return this.#forgotten.get(stream) ?? 0;
  }

  /** The message of that stream with the lowest offset. */
  first(stream: string): LiveMessage | undefined {
    let first: LiveMessage | undefined;
    for (const message of this.#messages) {
      if (message.stream === stream && message.offset < (first?.offset ?? Infinity)) {
        first = message;
      }
    }
    return first;
  }

  /** Takes out the messages of one stream, in the order of their offsets. */
  take(stream: string): LiveMessage[] {
    const taken = this.#messages.filter((message) => message.stream === stream);
    this.#keep((message) => message.stream !== stream);
    return taken.sort((a, b) => a.offset - b.offset);
  }

  /** The streams that messages came of. */
  streams(): Set<string> {
    const streams = new Set(this.#forgotten.keys());
    for (const { stream } of this.#messages) streams.add(stream);
    return streams;
  }

  /**
   * Stops taking messages of these streams, except of `present`; returns how many messages that
   * loses.
   */
  retire(streams: ReadonlySet<string>, present: string): number {
    const { size } = this;
    const former = [...streams].filter((stream) => stream !== present && stream !== "");
    for (const stream of former) this.forget(stream);
    const others = this.#former.filter((stream) => stream !== present && !streams.has(stream));
    this.#former = [...others, ...former].slice(-FORMER_STREAMS);
    return size - this.size;
  }

  /** Forgets every message of a stream. */
  forget(stream: string): void {
    this.#forgotten.delete(stream);
    this.#keep((message) => message.stream !== stream);
  }

  clear(): void {
    this.#messages = [];
    this.#bytes = 0;
    this.#forgotten.clear();
  }

  #keep(stays: (message: LiveMessage) => boolean): void {
    this.#messages = this.#messages.filter(stays);
    this.#bytes = this.#messages.reduce((sum, { envelope }) => sum + envelope.length, 0);
  }
}
