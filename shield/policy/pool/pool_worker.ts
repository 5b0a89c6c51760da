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

/** A running worker. */
export interface PolicyWorker {
  /** Resolves when the worker takes requests; never rejects. */
  readonly ready: Promise<void>;
  /** The largest record that the worker takes, in bytes. */
  readonly record_bytes: number;
  /**
   * Sends a request; false if there is no room now. The worker is woken once for all requests of one turn of the event
   * loop (`createSender`).
   */
  send(parts: readonly Uint8Array[]): boolean;
  load(module: number, runnable: RunnableModule): void;
  unload(module: number): void;
  /** The number of calls that the worker has begun or ended, and the running module (0: none). */
  progress(): { steps: number; running: number; is_ready: boolean };
  /** Passes on the replies in the ring, whether the worker has signalled them or not. */
  drain(): void;
  /** Drops the worker at once, whatever it does. */
  end(): void;
}

function startThread(onReady: () => void, onCrash: (detail: string) => void): Worker {
  const thread = new Worker(new URL("../worker/worker.ts", import.meta.url), {
    type: "module",
    name: "policy",
    deno: { permissions: "none" },
  });
  thread.onmessage = (event: MessageEvent<WorkerReady>) => {
    if (event.data.kind === "ready") onReady();
  };
  thread.onerror = (event) => {
    event.preventDefault();
    onCrash(event.message);
  };
  thread.onmessageerror = () => onCrash("a message to it could not be read");
  return thread;
}

/** The bytes of one piece in which replies are copied out of the ring. */
const TAKEN_BYTES = 65_536;

/** Passes on the replies in the ring, until `isEnded`. Returns the time at which the last ones were found. */
function handOver(
  replies: Ring,
  kept: Records,
  options: PolicyWorkerOptions,
  isEnded: () => boolean,
): number | undefined {
  let now_ms: number | undefined;
  for (;;) {
    const records = isEnded() ? undefined : ringTake(replies, TAKEN_BYTES, kept);
    if (records === undefined) return now_ms;
    now_ms = options.now();
    while (!isEnded() && records.next()) {
      const { id, reply } = decodeReply(records);
      options.onReply(id, reply, now_ms);
    }
  }
}

/** Passes on replies until `isEnded`, which a `ringWake` signals. */
async function listen(
  replies: Ring,
  drain: () => number | undefined,
  options: PolicyWorkerOptions,
  isEnded: () => boolean,
): Promise<void> {
  while (!isEnded()) {
    const seen = ringSignals(replies);
    const now_ms = drain();
    if (isEnded()) return;
    options.onDrained(now_ms);
    await ringWait(replies, seen);
  }
}

/** Starts a worker. */
export function startPolicyWorker(options: PolicyWorkerOptions): PolicyWorker {
  const requests = openRing(ringMemory(options.ring_bytes));
  const replies = openRing(ringMemory(options.ring_bytes));
  const progress = new Int32Array(new SharedArrayBuffer(PROGRESS_BYTES));
  const ready = Promise.withResolvers<void>();
  let ended = false;
  let is_ready = false;

  function end(): void {
    if (ended) return;
    ended = true;
    Atomics.store(progress, ENDED, 1);
    // Ends `listen`, and the worker's blocking wait if it is in one.
    ringSignal(requests);
    ringWake(replies);
    thread.terminate();
    ready.resolve();
  }

  function crash(detail: string): void {
    if (ended) return;
    end();
    options.onCrash(detail);
  }

  const thread = startThread(() => {
    is_ready = true;
    ready.resolve();
  }, crash);
  const post = (mail: WorkerMail) => thread.postMessage(mail);
  const announce = (mail: WorkerMail) => {
    post(mail);
    Atomics.add(progress, MAIL, 1);
    ringSignal(requests);
  };
  post({
    kind: "start",
    layout: RING_LAYOUT,
    requests: requests.memory,
    replies: replies.memory,
    progress: progress.buffer,
    fuel_limit: options.fuel_limit,
    chain_fuel_limit: options.chain_fuel_limit,
    instances: options.instances,
    now_ms: options.now(),
  });
  const kept = new Records(TAKEN_BYTES);
  const isEnded = () => ended;
  const drain = () => handOver(replies, kept, options, isEnded);
  ready.promise.then(() => listen(replies, drain, options, isEnded)).catch((error) => {
    crash(`its replies cannot be read: ${String(error)}`);
  });
  return {
    ready: ready.promise,
    record_bytes: requests.data.length / 2,
    send: createSender(requests),
    drain,
    load: (module, runnable) => announce({ kind: "load", module, runnable }),
    unload: (module) => announce({ kind: "unload", module }),
    progress: () => ({
      steps: Atomics.load(progress, STEPS),
      running: Atomics.load(progress, RUNNING),
      is_ready,
    }),
    end,
  };
}
