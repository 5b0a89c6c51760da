/**
 * The thread on which policies run: a Web Worker without permissions. It takes requests from its
 * ring, lets tenants take turns by the time they use, and blocks when there is nothing to do. It returns to its event loop
 * only to receive mail (modules), which is why the process announces mail in shared memory.
 */
import { createTurns, UNBOUNDED } from "./pool_turns.ts";
import {
  openRing,
  type Ring,
  ringRead,
  ringSignals,
  ringWaitBlocking,
  ringWriteBlocking,
} from "./ring.ts";
import {
  decodeRequest,
  encodeReply,
  RING_LAYOUT,
  type WorkerReply,
  type WorkerRequest,
} from "./ring_message.ts";
import { type ChainRunner, runChain } from "./worker_chain.ts";
import { createInstances } from "./worker_instances.ts";
import {
  ENDED,
  MAIL,
  RUNNING,
  STEPS,
  type WorkerMail,
  type WorkerReady,
} from "./worker_protocol.ts";

type Start = WorkerMail & { kind: "start" };

/** What of the worker's global scope is used; the workspace's `lib` is the main thread's. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerMail>) => void) | null;
  postMessage(message: WorkerReady): void;
  close(): void;
}

interface Thread {
  readonly requests: Ring;
  readonly replies: Ring;
  readonly progress: Int32Array<SharedArrayBuffer>;
  readonly runner: ChainRunner;
  mail_handled: number;
}

const EXPIRED: WorkerReply = { expired: true, outcomes: [], added_headers: [], logs: [] };

function createThread(start: Start): Thread {
  if (start.layout !== RING_LAYOUT) {
    const versions = `${start.layout} in the process, ${RING_LAYOUT} here`;
    throw new Error(
      `the program's files were replaced while it ran (messages ${versions}): restart it`,
    );
  }
  const behind_ms = start.now_ms - performance.now();
  const progress = new Int32Array(start.progress);
  return {
    requests: openRing(start.requests),
    replies: openRing(start.replies),
    progress,
    mail_handled: 0,
    runner: {
      instances: createInstances(start.instances),
      fuel_limit: start.fuel_limit,
      chain_fuel_limit: start.chain_fuel_limit,
      now: () => performance.now() + behind_ms,
      onProgress(module) {
        Atomics.store(progress, RUNNING, module);
        Atomics.add(progress, STEPS, 1);
      },
    },
  };
}

function isEnded({ progress }: Thread): boolean {
  return Atomics.load(progress, ENDED) !== 0;
}

function handle(thread: Thread, mail: Exclude<WorkerMail, Start>): void {
  if (mail.kind === "load") thread.runner.instances.load(mail.module, mail.runnable);
  else thread.runner.instances.unload(mail.module);
}

function answer(thread: Thread, request: WorkerRequest): void {
  const { runner, replies } = thread;
  const expired = runner.now() > request.deadline_ms;
  const reply = expired ? EXPIRED : runChain(runner, request);
  ringWriteBlocking(
    replies,
    encodeReply(request.generation, request.id, reply),
    () => isEnded(thread),
  );
}

/** Works until there is mail, or until it is ended. What waits in `turns` stays for the next time. */
function work(thread: Thread, turns: ReturnType<typeof createTurns<WorkerRequest>>): void {
  const { requests, progress } = thread;
  for (;;) {
    const seen = ringSignals(requests);
    for (;;) {
      const record = ringRead(requests);
      if (record === undefined) break;
      const request = decodeRequest(record);
      turns.push(request.tenant_id, request, record.length);
    }
    // After reading: a request may need a module whose mail was sent before it.
    if (isEnded(thread) || Atomics.load(progress, MAIL) !== thread.mail_handled) return;
    const request = turns.take();
    if (request !== undefined) {
      const began_ms = thread.runner.now();
      answer(thread, request);
      turns.charge(request.tenant_id, thread.runner.now() - began_ms);
    }
    // Mail signals the ring too: whatever came after `seen` was read ends the wait.
    if (request === undefined) ringWaitBlocking(requests, seen);
  }
}

/** Starts the thread: the first mail is `start`, and every other one was announced. */
function serve(scope: WorkerScope): void {
  const turns = createTurns<WorkerRequest>(UNBOUNDED);
  let thread: Thread | undefined;
  scope.onmessage = ({ data }) => {
    if (data.kind === "start") {
      thread = createThread(data);
      scope.postMessage({ kind: "ready" });
    } else if (thread !== undefined) {
      handle(thread, data);
      thread.mail_handled = (thread.mail_handled + 1) | 0;
    }
    if (thread === undefined) return;
    work(thread, turns);
    if (isEnded(thread)) scope.close();
  };
}

serve(globalThis as unknown as WorkerScope);
