/**
 * What a client has asked its server and waits for: greetings and subscriptions, each with the
 * number that the answer will carry. It knows no protocol and sends nothing.
 */

/** Open questions of one connection. */
export class Asked {
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  readonly #onProblem: (what: string) => void;

  /** `onProblem` hears what no open question does. */
  constructor(onProblem: (what: string) => void) {
    this.#onProblem = onProblem;
  }

  /** Resolves with the answer to `number`; rejects when it is refused or the connection ends. */
  ask(number: number): Promise<void> {
    const waiting = Promise.withResolvers<void>();
    this.#waiting.set(number, waiting);
    return waiting.promise;
  }

  /** The server said yes to `number`; nothing happens when nobody waits for it. */
  answer(number: number): void {
    this.#waiting.get(number)?.resolve();
    this.#waiting.delete(number);
  }

  /** The server said no to `number`. */
  refuse(number: number, why: string): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (waiting === undefined) this.#onProblem(why);
    else waiting.reject(new Error(why));
  }

  /** Something went wrong that names no question: all open ones fail, and without any it is a problem. */
  fail(why: string): void {
    const open = [...this.#waiting.values()];
    this.#waiting.clear();
    if (open.length === 0) this.#onProblem(why);
    for (const { reject } of open) reject(new Error(why));
  }
}
