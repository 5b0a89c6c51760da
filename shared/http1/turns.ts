/**
 * Work of many connections at once, done a little at a time: whoever is connected has a turn of the
 * event loop between any two parts of it.
 */
import { setImmediate } from "node:timers";

/** Jobs in the order in which they came. */
export class Turns {
  readonly #jobs_a_turn: number;
  #jobs: (() => void)[] = [];

  constructor(jobs_a_turn: number) {
    this.#jobs_a_turn = jobs_a_turn;
  }

  /** Calls `job` in a turn of its own, or soon after. It must not throw. */
  add(job: () => void): void {
    if (this.#jobs.push(job) === 1) setImmediate(this.#next);
  }

  readonly #next = () => {
    const now = this.#jobs.splice(0, this.#jobs_a_turn);
    if (this.#jobs.length > 0) setImmediate(this.#next);
    for (const job of now) job();
  };
}
