/**
 * Client processes of a load run: each is a program of its own that is given a plan and words as JSON
 * lines, and says what it has to say as JSON lines. What they do is their own business.
 */

const ROOT = decodeURIComponent(new URL("../..", import.meta.url).pathname).replace(/\/$/, "");
const LOG_CHARACTERS = 8_192;

/** A line of a client process. */
export interface Said {
  readonly kind: string;
}

/** How a client process runs. */
export interface HandOptions {
  readonly onSaid?: (said: Said) => void;
  /** 0 to 19. */
  readonly nice?: number;
}

/** One client process. */
export class Hand implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #heard: Said[] = [];
  readonly #read: Promise<void>;
  #waiting: (() => void) | undefined;
  #log = "";
  #over = false;

  /** `program` is a path below the root of the checkout; `onSaid` hears every line first. */
  constructor(program: string, plan: object, { onSaid = () => {}, nice = 0 }: HandOptions = {}) {
    const run = ["run", "--no-prompt", "--allow-net", "--allow-read", `${ROOT}/${program}`];
    const [command, args] = nice === 0
      ? [Deno.execPath(), run]
      : ["nice", ["-n", String(nice), Deno.execPath(), ...run]];
    this.#child = new Deno.Command(command, {
      args,
      cwd: ROOT,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#read = Promise.all([this.#readLines(onSaid), this.#readLog()]).then(() => {
      this.#over = true;
      this.#waiting?.();
    });
    this.tell(plan);
  }

  tell(word: object): void {
    const line = new TextEncoder().encode(`${JSON.stringify(word)}\n`);
    // When it has ended, whoever waits for its answer hears why.
    this.#writer.write(line).catch(() => {});
  }

  /** The next line of that kind. Rejects with its log when the process ends without. */
  async said<T extends Said>(kind: T["kind"]): Promise<T> {
    for (;;) {
      const index = this.#heard.findIndex((one) => one.kind === kind);
      if (index >= 0) return this.#heard.splice(index, 1)[0] as T;
      if (this.#over) throw new Error(`a client process ended without "${kind}":\n${this.#log}`);
      await new Promise<void>((resolve) => this.#waiting = resolve);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.#child.status;
    await this.#read;
    await this.#writer.abort().catch(() => {});
  }

  async #readLines(onSaid: (said: Said) => void): Promise<void> {
    let rest = "";
    for await (const chunk of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const said = JSON.parse(line) as Said;
        onSaid(said);
        this.#heard.push(said);
      }
      this.#waiting?.();
    }
  }

  async #readLog(): Promise<void> {
    for await (const chunk of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      this.#log = (this.#log + chunk).slice(-LOG_CHARACTERS);
    }
  }
}

/** In a client process: what it is told, line by line; the first is its plan. */
export async function* words(): AsyncGenerator<unknown, void> {
  let rest = "";
  for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line);
  }
}

/** In a client process: says a line. */
export function say<T extends Said>(said: T): void {
  console.log(JSON.stringify(said));
}
