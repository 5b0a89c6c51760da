/**
 * A program whose output is read while it runs, both streams as they come: for waiting until it says
 * something. It has no terminal; `script` gives a program one.
 */

const DEADLINE_MS = 60_000;

/** A started program. */
export class StreamedCommand {
  readonly child: Deno.ChildProcess;
  /** Resolves with everything that it wrote, once both streams have ended. */
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

  /** What it has written so far. */
  get text(): string {
    return this.#text;
  }

  /** Waits until it has written `text`. Throws an Error with what it wrote when it ends without, or
   * after a minute. */
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

  /** Sends it a signal, if it still runs, and waits for its end. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    try {
      this.child.kill(signal);
    } catch {
      // It has ended by itself.
    }
    await this.ended;
    await this.child.status;
  }
}
