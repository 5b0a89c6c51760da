/**
 * A program whose output is read while it runs, for code that waits for a certain output. The program has no terminal,
 * unless `script` provides one.
 */

const DEADLINE_MS = 60_000;

const OUTPUTS = ["stdout", "stderr"] as const;

/** A started program and its output so far. Disposal waits for its end. */
export class StreamedCommand implements AsyncDisposable {
  readonly child: Deno.ChildProcess;
  /** Resolves with the program's whole output, at the end of its streams. */
  readonly ended: Promise<string>;
  readonly #written = { stdout: "", stderr: "" };
  #news = Promise.withResolvers<void>();
  #has_ended = false;

  /** Wraps a child whose `outputs` are piped. The last `kept_units` characters of each are kept. */
  constructor(
    child: Deno.ChildProcess,
    outputs: readonly (typeof OUTPUTS[number])[] = OUTPUTS,
    kept_units = Infinity,
  ) {
    this.child = child;
    const read = async (name: typeof OUTPUTS[number]) => {
      for await (const text of child[name].pipeThrough(new TextDecoderStream())) {
        this.#written[name] = (this.#written[name] + text).slice(-kept_units);
        this.#tell();
      }
    };
    this.ended = Promise.all(outputs.map(read)).then(() => {
      this.#has_ended = true;
      this.#tell();
      return this.text;
    });
  }

  /** Starts a program. Unless `options` differ, it has no input, and both outputs are read. */
  static start(
    [program = "", ...args]: readonly string[],
    options: Deno.CommandOptions = {},
    kept_units = Infinity,
  ): StreamedCommand {
    const all = { args, stdin: "null", stdout: "piped", stderr: "piped", ...options } as const;
    const outputs = OUTPUTS.filter((name) => all[name] === "piped");
    return new StreamedCommand(new Deno.Command(program, all).spawn(), outputs, kept_units);
  }

  #tell(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  /** The program's output so far: stdout, then stderr. */
  get text(): string {
    return this.#written.stdout + this.#written.stderr;
  }

  get stdout(): string {
    return this.#written.stdout;
  }

  get stderr(): string {
    return this.#written.stderr;
  }

  get lines(): readonly string[] {
    return this.stdout.split("\n").slice(0, -1);
  }

  /**
   * Resolves with whether the program's output becomes `wanted`; false if the program ends before that, or after
   * `limit_ms`.
   */
  async shows(wanted: (text: string) => boolean, limit_ms: number = DEADLINE_MS): Promise<boolean> {
    let is_late = false;
    const timer = setTimeout(() => {
      is_late = true;
      this.#tell();
    }, limit_ms);
    try {
      for (;;) {
        if (wanted(this.text)) return true;
        if (is_late || this.#has_ended) return false;
        await this.#news.promise;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Waits until the program has written `text`. Throws an Error with its whole output if it ends before that, or after
   * a minute.
   */
  async until(text: string): Promise<void> {
    if (await this.shows((written) => written.includes(text))) return;
    throw new Error(`it has not written ${JSON.stringify(text)}, but:\n${this.text}`);
  }

  /** The first line of a program that writes one when it is ready. Throws as `until` does. */
  async firstLine(): Promise<string> {
    if (await this.shows(() => this.lines.length > 0)) return this.lines[0]!;
    const why = this.#has_ended ? "ended before it was ready" : "is not ready";
    throw new Error(`it ${why}:\n${this.text}`);
  }

  /** Resolves with whether its outputs end within `limit_ms`. */
  endsWithin(limit_ms: number): Promise<boolean> {
    return this.shows(() => this.#has_ended, limit_ms);
  }

  /** Sends the program a signal, if it is still running, and waits for its end. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<Deno.CommandStatus> {
    try {
      this.child.kill(signal);
    } catch {
      // The program has ended on its own.
    }
    await this.ended;
    return await this.child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
