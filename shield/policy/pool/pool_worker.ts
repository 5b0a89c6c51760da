/**
 * One policy worker from the process's side: a thread, its two rings and its progress. After a worker was dropped, its
 * rings are no longer read.
 */
import {
  createSender,
  openRing,
  Records,
  type Ring,
  ringMemory,
  ringSignal,
  ringSignals,
  ringTake,
  ringWait,
  ringWake,
} from "../ring/ring.ts";
import { decodeReply, RING_LAYOUT } from "../ring/ring_message.ts";
import type { WorkerReply } from "../ring/ring_words.ts";
import {
  ENDED,
  MAIL,
  PROGRESS_BYTES,
  type RunnableModule,
  RUNNING,
  STEPS,
  type WorkerMail,
  type WorkerReady,
} from "../ring/worker_protocol.ts";

/** The dependencies and settings of a worker. */
export interface PolicyWorkerOptions {
  readonly ring_bytes: number;
  readonly fuel_limit: number;
  readonly chain_fuel_limit: number;
  readonly instances: number;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Called with each reply; `now_ms` is the time at which it was found, the same for all replies found together. */
  readonly onReply: (id: number, reply: WorkerReply, now_ms: number) => void;
  /** Called after the replies of one wake-up have been passed on; `now_ms` is the time at which they were found. */
  readonly onDrained: (now_ms?: number) => void;
  /** Called when the worker has died of an error that no guest caused. */
  readonly onCrash: (detail: string) => void;
}

/** The bytes of one piece in which replies are copied out of the ring. */
const TAKEN_BYTES = 65_536;

/** A running worker. */
export class PolicyWorker {
  readonly #options: PolicyWorkerOptions;
  readonly #requests: Ring;
  readonly #replies: Ring;
  readonly #progress = new Int32Array(new SharedArrayBuffer(PROGRESS_BYTES));
  readonly #kept = new Records(TAKEN_BYTES);
  readonly #thread: Worker;
  readonly #ready = Promise.withResolvers<void>();
  #is_ready = false;
  #ended = false;
  /** The largest record that the worker takes, in bytes. */
  readonly record_bytes: number;
  /**
   * Sends a request; false if there is no room now. The worker is woken once for all requests of one turn of the event
   * loop (`createSender`).
   */
  readonly send: (parts: readonly Uint8Array[]) => boolean;

  constructor(options: PolicyWorkerOptions) {
    this.#options = options;
    this.#requests = openRing(ringMemory(options.ring_bytes));
    this.#replies = openRing(ringMemory(options.ring_bytes));
    this.record_bytes = this.#requests.data.length / 2;
    this.send = createSender(this.#requests);
    this.#thread = this.#startThread();
    this.#thread.postMessage(
      {
        kind: "start",
        layout: RING_LAYOUT,
        requests: this.#requests.memory,
        replies: this.#replies.memory,
        progress: this.#progress.buffer,
        fuel_limit: options.fuel_limit,
        chain_fuel_limit: options.chain_fuel_limit,
        instances: options.instances,
        now_ms: options.now(),
      } satisfies WorkerMail,
    );
    this.ready.then(() => this.#listen()).catch((error) => {
      this.#crash(`its replies cannot be read: ${String(error)}`);
    });
  }

  /** Resolves when the worker takes requests; never rejects. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  load(module: number, runnable: RunnableModule): void {
    this.#announce({ kind: "load", module, runnable });
  }

  unload(module: number): void {
    this.#announce({ kind: "unload", module });
  }

  /** The number of calls that the worker has begun or ended, and the running module (0: none). */
  progress(): { steps: number; running: number; is_ready: boolean } {
    const steps = Atomics.load(this.#progress, STEPS);
    return { steps, running: Atomics.load(this.#progress, RUNNING), is_ready: this.#is_ready };
  }

  /**
   * Passes on the replies in the ring, whether the worker has signalled them or not, until the worker is dropped.
   * Returns the time at which the last ones were found.
   */
  drain(): number | undefined {
    const { now, onReply } = this.#options;
    let now_ms: number | undefined;
    for (;;) {
      const records = this.#ended ? undefined : ringTake(this.#replies, TAKEN_BYTES, this.#kept);
      if (records === undefined) return now_ms;
      now_ms = now();
      while (!this.#ended && records.next()) {
        const { id, reply } = decodeReply(records);
        onReply(id, reply, now_ms);
      }
    }
  }

  /** Drops the worker at once, whatever it does. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    Atomics.store(this.#progress, ENDED, 1);
    // Ends `#listen`, and the worker's blocking wait if it is in one.
    ringSignal(this.#requests);
    ringWake(this.#replies);
    this.#thread.terminate();
    this.#ready.resolve();
  }

  #startThread(): Worker {
    const thread = new Worker(new URL("../worker/worker.ts", import.meta.url), {
      type: "module",
      name: "policy",
      deno: { permissions: "none" },
    });
    thread.onmessage = (event: MessageEvent<WorkerReady>) => {
      if (event.data.kind !== "ready") return;
      this.#is_ready = true;
      this.#ready.resolve();
    };
    thread.onerror = (event) => {
      event.preventDefault();
      this.#crash(event.message);
    };
    thread.onmessageerror = () => this.#crash("a message to it could not be read");
    return thread;
  }

  #announce(mail: WorkerMail): void {
    this.#thread.postMessage(mail);
    Atomics.add(this.#progress, MAIL, 1);
    ringSignal(this.#requests);
  }

  #crash(detail: string): void {
    if (this.#ended) return;
    this.end();
    this.#options.onCrash(detail);
  }

  /** Passes on replies until the end, which a `ringWake` signals. */
  async #listen(): Promise<void> {
    while (!this.#ended) {
      const seen = ringSignals(this.#replies);
      const now_ms = this.drain();
      if (this.#ended) return;
      this.#options.onDrained(now_ms);
      await ringWait(this.#replies, seen);
    }
  }
}
