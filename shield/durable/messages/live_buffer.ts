/**
 * Live messages of one room that must wait until older ones have been read. Limited: a message that does not fit is
 * dropped, since the log has it; only its offset is remembered.
 */
import type { LiveMessage } from "./message.ts";

/** The most messages and bytes that may wait. */
interface LiveBufferBounds {
  readonly messages: number;
  readonly bytes: number;
}

/** How many former streams are remembered, whose late messages may still arrive. */
const FORMER_STREAMS = 16;

/** The live messages that wait; they are in no order until they are taken. */
export class LiveBuffer {
  readonly #bounds: LiveBufferBounds;
  #messages: LiveMessage[] = [];
  #bytes = 0;
  /** Former streams, whose messages are dropped; the latest is the last. */
  #former: string[] = [];
  /** The highest offset that was forgotten, by stream. */
  readonly #forgotten = new Map<string, number>();

  constructor(bounds: LiveBufferBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#messages.length;
  }

  /** Adds a message. `buffer-full`: the message was dropped; `old-stream`: messages of that stream are dropped. */
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

  /** The highest offset of the stream that was forgotten; 0 when none was. */
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

  /** The streams that messages came from. */
  streams(): Set<string> {
    const streams = new Set(this.#forgotten.keys());
    for (const { stream } of this.#messages) streams.add(stream);
    return streams;
  }

  /** Stops taking messages of these streams, except of `present`. Returns how many messages are lost by that. */
  retire(streams: ReadonlySet<string>, present: string): number {
    const { size } = this;
    const former = [...streams].filter((stream) => stream !== present && stream !== "");
    for (const stream of former) this.forget(stream);
    const others = this.#former.filter((stream) => stream !== present && !streams.has(stream));
    this.#former = [...others, ...former].slice(-FORMER_STREAMS);
    return size - this.size;
  }

  /** Drops every message of a stream. */
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
