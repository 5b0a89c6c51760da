/**
 * Client processes of a load run: each is a program of its own that is given a plan and words as JSON
 * lines, and says what it has to say as JSON lines. What they do is their own business.
 */
import { niceness, startProgram } from "../../bench/measure/line_program.ts";
import type { Program } from "../../bench/measure/line_program.ts";
import { ownLines } from "../../bench/measure/text_lines.ts";

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
  readonly #program: Program;
  readonly #heard: Said[] = [];
  readonly #listening: Promise<void>;
  #waiting: (() => void) | undefined;
  /** Why it says nothing more. */
  #over: unknown;

  /** `program` is a path below the root of the checkout; `onSaid` hears every line first. */
  constructor(program: string, plan: object, { onSaid = () => {}, nice = 0 }: HandOptions = {}) {
    this.#program = startProgram(program, {
      flags: ["--allow-net", "--allow-read"],
      before: niceness(nice),
    });
    this.#listening = this.#listen(onSaid);
    this.tell(plan);
  }

  tell(word: object): void {
    // When it has ended, whoever waits for its answer hears why.
    this.#program.say(word).catch(() => {});
  }

  /** The next line of that kind. Rejects with its log when the process ends without. */
  async said<T extends Said>(kind: T["kind"]): Promise<T> {
    for (;;) {
      const index = this.#heard.findIndex((one) => one.kind === kind);
      if (index >= 0) return this.#heard.splice(index, 1)[0] as T;
      if (this.#over !== undefined) {
        const why = this.#over instanceof Error ? this.#over.message : this.#over;
        throw new Error(`a client process ended without "${kind}": ${why}`);
      }
      await new Promise<void>((resolve) => this.#waiting = resolve);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#program.kill();
    await this.#program[Symbol.asyncDispose]();
    await this.#listening;
  }

  async #listen(onSaid: (said: Said) => void): Promise<void> {
    try {
      for (;;) {
        const said = await this.#program.hear<Said>();
        onSaid(said);
        this.#heard.push(said);
        this.#waiting?.();
      }
    } catch (error) {
      this.#over = error;
      this.#waiting?.();
    }
  }
}

/** In a client process: what it is told, line by line; the first is its plan. */
export async function* words(): AsyncGenerator<unknown, void> {
  for await (const line of ownLines()) yield JSON.parse(line);
}

/** In a client process: says a line. */
export function say<T extends Said>(said: T): void {
  console.log(JSON.stringify(said));
}
