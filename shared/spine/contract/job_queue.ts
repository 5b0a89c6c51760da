/**
 * A FIFO queue of jobs, run in bounded batches, one batch a turn of the event loop: a handler that publishes never runs
 * another handler inside itself, and sockets get their share even when two handlers answer each other endlessly. It has
 * no priorities and no timers.
 */
import { setImmediate } from "node:timers";
import { nextTurn, socket_reads } from "../../turns/next_turn.ts";

/** Jobs a turn, if they are short. */
const BATCH = 1_024;
/** A turn ends with the job that passes this: one job may be a fan-out to thousands of sockets. */
const TURN_MS = 4;
/** After at most this many turns the queue yields until sockets were polled, which takes longer than an immediate. */
const IMMEDIATES_MAX = 16;
/**
 * If no job was queued for this many ms, the event loop has slept and a socket woke it: handlers that keep it awake
 * queue a job at once.
 */
const SLEPT_MS = 0.25;

/** A queued job: an object, so that the message path creates no closure for each message. */
export interface Job {
  /** Must not throw. */
  run(): void;
}

/** One queue of jobs. */
export class JobQueue {
  readonly #now: () => number;
  #jobs: Job[] = [];
  #head = 0;
  #scheduled = false;
  #pushed = 0;
  /** Turns since the last one that surely polled sockets. */
  #immediates = 0;
  /** The reads from sockets at that turn. */
  #reads = 0;
  /** When the queue was last empty. */
  #emptied_ms = 0;
  #settled: { readonly pushed: number; readonly promise: Promise<void> } | undefined;
  /** Until when answers of this turn are given at once; undefined: there was none. */
  #answers_until_ms: number | undefined;

  /** `now` in ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get length(): number {
    return this.#jobs.length - this.#head;
  }

  /** Runs `job` in a later turn, after all jobs pushed before. */
  push(job: Job): void {
    this.#jobs.push(job);
    this.#pushed++;
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (this.#reads !== socket_reads.count || this.#now() - this.#emptied_ms > SLEPT_MS) {
      this.#reads = socket_reads.count;
      this.#immediates = 0;
    }
    // Handlers that answer each other endlessly would starve the sockets between immediates.
    if (++this.#immediates < IMMEDIATES_MAX) return void setImmediate(this.#run);
    this.#immediates = 0;
    nextTurn(this.#run);
  }

  /** Resolves when every job pushed before has run. All callers in between share one promise. */
  settled(): Promise<void> {
    if (this.length === 0) return Promise.resolve();
    if (this.#settled?.pushed === this.#pushed) return this.#settled.promise;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.push({ run: resolve });
    this.#settled = { pushed: this.#pushed, promise };
    return promise;
  }

  /**
   * Await it before an answer that is known at once: whoever awaits thousands of them would not end its turn.
   * Undefined: the turn is not too long yet.
   */
  rest(): Promise<void> | undefined {
    const now_ms = this.#now();
    if (this.#answers_until_ms === undefined) {
      this.#answers_until_ms = now_ms + TURN_MS;
      setImmediate(() => this.#answers_until_ms = undefined);
    }
    if (now_ms < this.#answers_until_ms) return undefined;
    return new Promise((run) => this.push({ run }));
  }

  readonly #run = (): void => {
    const end = Math.min(this.#head + BATCH, this.#jobs.length);
    let now_ms = this.#now();
    const until_ms = now_ms + TURN_MS;
    while (this.#head < end) {
      this.#jobs[this.#head++]?.run();
      now_ms = this.#now();
      if (now_ms >= until_ms) break;
    }
    if (this.#head === this.#jobs.length) {
      this.#emptied_ms = now_ms;
      this.#jobs = [];
      this.#head = 0;
      this.#scheduled = false;
      return;
    }
    // Removes finished jobs only once they are most of the array: amortised, a job is moved once.
    if (this.#head > this.#jobs.length / 2) {
      this.#jobs = this.#jobs.slice(this.#head);
      this.#head = 0;
    }
    nextTurn(this.#run);
  };
}
