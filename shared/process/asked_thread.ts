/**
 * A worker thread whose requests have answers, each found by its id. The thread starts with the first request; when it
 * has died or was ended, its open requests are rejected, and the next request starts another. `thread_answers.ts` is
 * the thread's side.
 */

/** What differs between threads. */
interface AskedThreadOptions<Waiting, Reply> {
  readonly start: () => Worker;
  /** Called with each answer and what was given to `add`, which is forgotten by then. */
  readonly settle: (waiting: Waiting, reply: Reply) => void;
  /** The thread has died. It should call `end`. */
  readonly died: (detail: string) => void;
}

/** The thread and the requests that wait for its answers. */
export class AskedThread<
  Request extends { readonly id: number },
  Reply extends { readonly id: number },
  Waiting extends { readonly reject: (error: Error) => void },
> {
  readonly #options: AskedThreadOptions<Waiting, Reply>;
  readonly #waiting = new Map<number, Waiting>();
  #thread: Worker | undefined;
  #last_id = 0;

  constructor(options: AskedThreadOptions<Waiting, Reply>) {
    this.#options = options;
  }

  /** Unanswered requests. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** A request that waits from now on, whether it is sent now or later. Returns its id. */
  add(waiting: Waiting): number {
    const id = ++this.#last_id;
    this.#waiting.set(id, waiting);
    return id;
  }

  send(request: Request): void {
    this.#thread ??= this.#start();
    this.#thread.postMessage(request);
  }

  /** Ends the thread; the waiting requests are rejected. */
  end(error: Error): void {
    this.#thread?.terminate();
    this.#thread = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(error);
  }

  #start(): Worker {
    const { start, settle, died } = this.#options;
    const thread = start();
    const die = (detail: string) => {
      if (this.#thread === thread) died(detail);
    };
    thread.onmessage = ({ data }: MessageEvent<Reply>) => {
      const waiting = this.#thread === thread ? this.#waiting.get(data.id) : undefined;
      if (waiting === undefined) return;
      this.#waiting.delete(data.id);
      settle(waiting, data);
    };
    thread.onerror = (event) => {
      event.preventDefault();
      die(event.message);
    };
    thread.onmessageerror = () => die("a message of it could not be read");
    return thread;
  }
}
