/**
 * A queue of lines for a reader that may be slow, stalled or gone, without blocking the writers. Its size in characters
 * is bounded; further lines are dropped and counted. The sink is an argument.
 */
import { within } from "../within.ts";

/** The most queued characters, including those being written. */
const WAITING_MAX = 1_048_576;
/** The longest pause before a full sink is retried, in ms. */
const PAUSE_MAX_MS = 50;

/**
 * Bytes of one write: Deno does not report a partial write to a full pipe, and a write of this size is atomic
 * (PIPE_BUF, which differs by system).
 */
const WRITE_BYTES = ({ linux: 4_096, windows: 65_536 } as Record<string, number>)[Deno.build.os] ??
  512;

/** A destination of bytes: it may accept a part, or none at the moment. */
export interface Sink {
  write(bytes: Uint8Array): Promise<number>;
}

/** Writes all bytes. A pipe that another process made non-blocking refuses bytes when it is full; then it retries. */
export async function writeAll(sink: Sink, bytes: Uint8Array): Promise<void> {
  for (let at = 0, pause_ms = 1; at < bytes.length;) {
    try {
      at += await sink.write(bytes.subarray(at, at + WRITE_BYTES));
      pause_ms = 1;
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      const ms = pause_ms;
      await new Promise((resolve) => setTimeout(resolve, ms));
      pause_ms = Math.min(PAUSE_MAX_MS, 2 * pause_ms);
    }
  }
}

/** The lines of one process. */
export class LineQueue {
  readonly #sink: Sink;
  #waiting: string[] = [];
  #characters = 0;
  #writing: Promise<void> | undefined;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** Whether everything is written. */
  get is_idle(): boolean {
    return this.#writing === undefined;
  }

  /** Queues a line; false if it is dropped because the queue is full. Never throws. */
  write(line: string): boolean {
    if (this.#characters + line.length > WAITING_MAX) return false;
    this.#characters += line.length;
    this.#waiting.push(line);
    this.#writing ??= this.#writeAll();
    return true;
  }

  /** Resolves when everything is written, at the latest after `timeout_ms`. */
  async flush(timeout_ms: number): Promise<void> {
    if (this.#writing === undefined) return;
    await within(timeout_ms, this.#writing, () => {});
  }

  async #writeAll(): Promise<void> {
    // Lines of one turn are written together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const text = this.#waiting.join("");
      this.#waiting = [];
      // A failure cannot be reported anywhere.
      await writeAll(this.#sink, new TextEncoder().encode(text)).catch(() => {});
      this.#characters -= text.length;
    }
    this.#writing = undefined;
  }
}
