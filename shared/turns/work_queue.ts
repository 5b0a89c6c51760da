/** Runs a limited number of jobs at a time, first come, first served; the queue has a limit, and no deadline. */

/** How much at a time. */
interface WorkQueueOptions {
  readonly running_max: number;
  readonly waiting_max: number;
}

/** A queue of work; it cannot be closed, because work that began has to end anyway. */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting: (() => void)[] = [];
  /** How many of `#waiting` have begun: taken from the front without moving the others. */
  #begun = 0;
  #running = 0;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length - this.#begun;
  }

  /** The result or error of the job; rejects with `refusal` if too many wait. */
  async run<T>(work: () => Promise<T>, refusal: () => Error): Promise<T> {
    const { running_max, waiting_max } = this.#options;
    if (this.#running >= running_max) {
      if (this.waiting >= waiting_max) throw refusal();
      // A finished job passes its slot on, so that no later job takes it first.
      await new Promise<void>((begin) => this.#waiting.push(begin));
    } else this.#running += 1;
    try {
      return await work();
    } finally {
      this.#next();
    }
  }

  #next(): void {
    const begin = this.#waiting[this.#begun];
    if (begin === undefined) {
      this.#running -= 1;
      return;
    }
    this.#begun += 1;
    if (this.#begun * 2 > this.#waiting.length) {
      this.#waiting.splice(0, this.#begun);
      this.#begun = 0;
    }
    begin();
  }
}
