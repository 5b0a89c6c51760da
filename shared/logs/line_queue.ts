/**
 * Lines on their way to a reader that may be slow, stall or be gone: nobody waits for it. A bounded number of
 * characters waits; what is beyond is dropped and counted. Where the lines go is an argument.
 */

/** Characters that wait, those under way included. */
const WAITING_MAX = 1_048_576;
/** The longest pause before a sink that takes nothing at the moment is tried again, in ms. */
const PAUSE_MAX_MS = 50;

/**
 * Bytes of one write: Deno does not say how many it has written when a pipe has no room for the rest, and so few are
 * written all or none (PIPE_BUF, which has other values elsewhere).
 */
const WRITE_BYTES = ({ linux: 4_096, windows: 65_536 } as Record<string, number>)[Deno.build.os] ??
  512;

/** Where bytes go: may take a part, and may say that it takes none at the moment. */
export interface Sink {
  write(bytes: Uint8Array): Promise<number>;
}

/**
 * Writes all bytes. A pipe that another process has made non-blocking refuses what it has no room for; then it
 * waits for room.
 */
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

  /** Takes a line; false when it is dropped because too many wait. Never throws. */
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
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeout_ms);
    await Promise.race([this.#writing, late]);
    clearTimeout(timer);
  }

  async #writeAll(): Promise<void> {
    // The lines of one turn go together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const text = this.#waiting.join("");
      this.#waiting = [];
      // Nobody is left to tell when it fails.
      await writeAll(this.#sink, new TextEncoder().encode(text)).catch(() => {});
      this.#characters -= text.length;
    }
    this.#writing = undefined;
  }
}
