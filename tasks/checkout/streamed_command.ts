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
   * Resolves with whether what the program has written comes to be `wanted`; false when it ends before that,
   * or after `limit_ms`.
   */
  async shows(wanted: (text: string) => boolean, limit_ms: number = DEADLINE_MS): Promise<boolean> {
    const begun_ms = performance.now();
    const over = this.ended.then(() => true);
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<false>();
      this.#wake = () => resolve(false);
      if (wanted(this.#text)) return true;
      const left_ms = limit_ms - (performance.now() - begun_ms);
      if (left_ms <= 0) return false;
      const timer = setTimeout(this.#wake, left_ms);
      const has_ended = await Promise.race([promise, over]);
      clearTimeout(timer);
      if (has_ended) return wanted(this.#text);
    }
  }

  /**
   * Waits until the program has written `text`. Throws an Error with all that it wrote when it ends before
   * that, or after a minute.
   */
  async until(text: string): Promise<void> {
    if (await this.shows((written) => written.includes(text))) return;
    throw new Error(`it has not written ${JSON.stringify(text)}, but:\n${this.#text}`);
  }

  /** Resolves with whether both streams end within `limit_ms`. */
  async endsWithin(limit_ms: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<false>();
    const timer = setTimeout(() => resolve(false), limit_ms);
    const has_ended = await Promise.race([promise, this.ended.then(() => true)]);
    clearTimeout(timer);
    return has_ended;
  }

  /** Sends the program a signal, if it still runs, and waits for its end. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    try {
      this.child.kill(signal);
    } catch {
      // The program has ended on its own.
    }
    await this.ended;
    await this.child.status;
  }
}
