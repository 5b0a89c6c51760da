/**
 * A program whose two output streams are read while it runs, for code that waits until it says something. The
 * program has no terminal, unless `script` gives it one.
 */

const DEADLINE_MS = 60_000;

/** A started program and what it has written. */
export class StreamedCommand {
  readonly child: Deno.ChildProcess;
  /** Resolves with all that the program wrote, when both streams have ended. */
  readonly ended: Promise<string>;
  #text = "";
  #wake: () => void = () => {};

  /** Takes over a child whose stdout and stderr are piped. */
  constructor(child: Deno.ChildProcess) {
    this.child = child;
    const read = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) {
        this.#text += text;
        this.#wake();
      }
    };
    this.ended = Promise.all([read(child.stdout), read(child.stderr)]).then(() => this.#text);
  }

  /** All that the program has written so far. */
  get text(): string {
    return this.#text;
  }

  /**
   * Waits until the program has written `text`. Throws an Error with all that it wrote when it ends before
   * that, or after a minute.
   */
  async until(text: string): Promise<void> {
    const deadline_ms = Date.now() + DEADLINE_MS;
    const over = this.ended.then(() => true);
    while (!this.#text.includes(text)) {
      const { promise, resolve } = Promise.withResolvers<false>();
      this.#wake = () => resolve(false);
      const timer = setTimeout(this.#wake, Math.max(0, deadline_ms - Date.now()));
      const has_ended = await Promise.race([promise, over]);
      clearTimeout(timer);
      if (this.#text.includes(text)) return;
      if (has_ended || Date.now() >= deadline_ms) {
        throw new Error(`it has not written ${JSON.stringify(text)}, but:\n${this.#text}`);
      }
    }
  }

  /** Sends the program a signal, if it still runs, and waits for its end. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    try {
      this.child.kill(signal);
    } catch {
      // The program has ended by itself.
    }
    await this.ended;
    await this.child.status;
  }
}
