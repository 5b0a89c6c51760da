/**
 * One policy worker as the process sees it: a thread, two rings and its progress. The rings of a worker
 * that was given up are read by nobody, and a reply to a request of another generation is dropped.
 */
import {
  openRing,
  type Ring,
  ringMemory,
  ringRead,
  ringSignal,
  ringSignals,
  ringWait,
  ringWake,
  ringWrite,
} from "../ring/ring.ts";
import { decodeReply, RING_LAYOUT, type WorkerReply } from "../ring/ring_message.ts";
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

/** What a worker needs of its lane. */
export interface PolicyWorkerOptions {
  readonly generation: number;
  readonly ring_bytes: number;
  readonly fuel_limit: number;
  readonly chain_fuel_limit: number;
  readonly instances: number;
  /** Monotonic ms. */
  readonly now: () => number;
  readonly onReply: (id: number, reply: WorkerReply) => void;
  /** Called after the replies of one wake-up have been handed over. */
  readonly onDrained: () => void;
  /** Called when the worker has died of an error that is not a guest's. */
  readonly onCrash: (detail: string) => void;
}

/** A running worker. */
export interface PolicyWorker {
  readonly generation: number;
  /** Resolves when the worker takes requests; never rejects. */
  readonly ready: Promise<void>;
  /** The largest record that the worker takes, in bytes. */
  readonly record_bytes: number;
  /** Sends a request; false when there is no room now. */
  send(parts: readonly Uint8Array[]): boolean;
  load(module: number, runnable: RunnableModule): void;
  unload(module: number): void;
  /** How often the worker has begun or ended a call, and which module runs (0: none). */
  progress(): { steps: number; running: number; is_ready: boolean };
  /** Gives the worker up at once, whatever it does. */
  end(): void;
}

function startThread(
  generation: number,
  onReady: () => void,
  onCrash: (detail: string) => void,
): Worker {
  const thread = new Worker(new URL("../worker/worker.ts", import.meta.url), {
    type: "module",
    name: `policy-${generation}`,
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

/** Hands over replies until `isEnded`, which a `ringWake` tells of. */
async function listen(
  replies: Ring,
  options: PolicyWorkerOptions,
  isEnded: () => boolean,
): Promise<void> {
  while (!isEnded()) {
    const seen = ringSignals(replies);
    for (;;) {
      const record = isEnded() ? undefined : ringRead(replies);
      if (record === undefined) break;
      const { generation, id, reply } = decodeReply(record);
      if (generation === options.generation) options.onReply(id, reply);
    }
    if (isEnded()) return;
    options.onDrained();
    await ringWait(replies, seen);
  }
}

/** Starts a worker. */
export function startPolicyWorker(options: PolicyWorkerOptions): PolicyWorker {
  const { generation } = options;
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
    // Ends `listen`, and the worker's blocking wait when it is in one.
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

  const thread = startThread(generation, () => {
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
  ready.promise.then(() => listen(replies, options, () => ended)).catch((error) => {
    crash(`its replies cannot be read: ${String(error)}`);
  });
  return {
    generation,
    ready: ready.promise,
    record_bytes: requests.data.length / 2,
    send: (parts) => ringWrite(requests, parts),
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
