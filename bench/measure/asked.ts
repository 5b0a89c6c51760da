/**
 * The pending requests of a client: greetings and subscriptions, each with the number of its answer. It knows no
 * protocol and sends nothing.
 */

/** The pending requests of one connection. */
export class Asked {
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  readonly #onProblem: (what: string) => void;

  /** `onProblem` is called for failures without a pending request. */
  constructor(onProblem: (what: string) => void) {
    this.#onProblem = onProblem;
  }

  /** Waits for the answer to `number`. Rejects if the request is refused or the connection ends. */
  ask(number: number): Promise<void> {
    const waiting = Promise.withResolvers<void>();
    this.#waiting.set(number, waiting);
    return waiting.promise;
  }

  /** Resolves the request `number`; does nothing if it is not pending. */
  answer(number: number): void {
    this.#waiting.get(number)?.resolve();
    this.#waiting.delete(number);
  }

  /** Rejects the request `number`. */
  refuse(number: number, why: string): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (waiting === undefined) this.#onProblem(why);
    else waiting.reject(new Error(why));
  }

  /** Handles a failure without a request number: it rejects all pending requests; without any it is a problem. */
  fail(why: string): void {
    const open = [...this.#waiting.values()];
    this.#waiting.clear();
    if (open.length === 0) this.#onProblem(why);
    for (const { reject } of open) reject(new Error(why));
  }
}
