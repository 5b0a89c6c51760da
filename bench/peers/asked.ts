/**
 * The requests of a client that its server has not answered yet: greetings and subscriptions, each with the
 * number that its answer will carry. It knows no protocol and sends nothing.
 */

/** The open requests of one connection. */
export class Asked {
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  readonly #onProblem: (what: string) => void;

  /** `onProblem` is called for failures that belong to no open request. */
  constructor(onProblem: (what: string) => void) {
    this.#onProblem = onProblem;
  }

  /** Waits for the answer to `number`. Rejects when the request is refused or the connection ends. */
  ask(number: number): Promise<void> {
    const waiting = Promise.withResolvers<void>();
    this.#waiting.set(number, waiting);
    return waiting.promise;
  }

  /** Notes that the server has accepted `number`; does nothing when nobody waits for it. */
  answer(number: number): void {
    this.#waiting.get(number)?.resolve();
    this.#waiting.delete(number);
  }

  /** Notes that the server has refused `number`. */
  refuse(number: number, why: string): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (waiting === undefined) this.#onProblem(why);
    else waiting.reject(new Error(why));
  }

  /** Notes a failure that names no request: all open ones fail, and without any it is a problem. */
  fail(why: string): void {
    const open = [...this.#waiting.values()];
    this.#waiting.clear();
    if (open.length === 0) this.#onProblem(why);
    for (const { reject } of open) reject(new Error(why));
  }
}
