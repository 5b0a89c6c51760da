/**
 * The thread on which policies run: a Web Worker without permissions. It takes requests from its ring, shares its time
 * between tenants, and blocks when it has no work. It returns to its event loop only to receive mail (modules), so the
 * process announces mail in shared memory.
 */
import { createTurns, UNBOUNDED } from "../../../shared/turns/tenant_turns.ts";
import {
  openRing,
  Records,
  ringPutBlocking,
  ringSignal,
  ringSignals,
  ringTake,
  ringWaitBlocking,
  sizeOf,
} from "../ring/ring.ts";
import type { Ring } from "../ring/ring.ts";
import { decodeRequest, encodeReply, RING_LAYOUT } from "../ring/ring_message.ts";
import type { WorkerRequest } from "../ring/ring_message.ts";
import { addDuration, type WorkerReply } from "../ring/ring_words.ts";
import { applyChanges, type HeldValues } from "../state/held_values.ts";
import { type ChainRunner, Instances, runChain } from "./worker_chain.ts";
import { ENDED, MAIL, RUNNING, STEPS } from "../ring/worker_protocol.ts";
import type { WorkerMail, WorkerReady } from "../ring/worker_protocol.ts";

type Start = WorkerMail & { kind: "start" };

/** The used part of the worker's global scope; the workspace's `lib` is the main thread's. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerMail>) => void) | null;
  postMessage(message: WorkerReady): void;
  close(): void;
}

interface Waiting {
  readonly request: WorkerRequest;
  /** The thread's working time when the request arrived, and how much more work it can wait for. */
  readonly worked_ms: number;
  readonly most_ms: number;
}

type WaitingTurns = ReturnType<typeof createTurns<Waiting>>;

interface Thread {
  readonly requests: Ring;
  readonly replies: Ring;
  readonly progress: Int32Array<SharedArrayBuffer>;
  readonly runner: ChainRunner;
  readonly held_values: HeldValues;
  readonly held: HeldReplies;
  readonly isEnded: () => boolean;
  /** Room for requests, used if no older request still needs its piece. */
  readonly taken: Records;
  mail_handled: number;
  /**
   * The thread's working time in guests. It is at most the time that their fuel can take, so pauses of the thread do
   * not count.
   */
  worked_ms: number;
}

/** The bytes of one piece in which requests are copied out of the ring. A waiting request keeps its piece. */
const TAKEN_BYTES = 65_536;
/** The most time of a unit of fuel, and of a call besides its fuel, in ms. */
const UNIT_MS = 1e-6;
const CALL_MS = 0.1;
/**
 * The least remaining time of a request, in ms: a request that arrives at its deadline or later was delayed on its way.
 */
const LEFT_MS = 25;
/** The most bytes of a short reply. */
const SHORT_BYTES = 1_024;
const EXPIRED: WorkerReply = { expired: true, outcomes: [], added_headers: [], logs: [] };

function createThread(start: Start): Thread {
  if (start.layout !== RING_LAYOUT) {
    const versions = `${start.layout} in the process, ${RING_LAYOUT} in the worker`;
    throw new Error(
      `the program's files were replaced while it ran (messages ${versions}): restart it`,
    );
  }
  const behind_ms = start.now_ms - performance.now();
  const progress = new Int32Array(start.progress);
  const replies = openRing(start.replies);
  const held_values: HeldValues = new Map();
  let steps = 0;
  return {
    requests: openRing(start.requests),
    replies,
    progress,
    held: new HeldReplies(() => ringSignal(replies)),
    isEnded: () => Atomics.load(progress, ENDED) !== 0,
    taken: new Records(TAKEN_BYTES),
    mail_handled: 0,
    worked_ms: 0,
    held_values,
    runner: {
      instances: new Instances(start.instances),
      fuel_limit: start.fuel_limit,
      chain_fuel_limit: start.chain_fuel_limit,
      now: () => performance.now() + behind_ms,
      held: held_values,
      onProgress(module) {
        Atomics.store(progress, RUNNING, module);
        Atomics.store(progress, STEPS, steps = (steps + 1) | 0);
      },
    },
  };
}

/**
 * Whether a request is no longer awaited because others used the time. If the machine was busy, the process has not
 * noticed either and still waits.
 */
function isExpired({ worked_ms }: Thread, waiting: Waiting, now_ms: number): boolean {
  const others_ms = worked_ms - waiting.worked_ms;
  return now_ms > waiting.request.deadline_ms && others_ms >= waiting.most_ms;
}

/** The working time of a chain, but at most the time that its fuel can take. */
function workOf({ outcomes }: WorkerReply): number {
  let worked_ms = 0;
  for (const { duration_ms, units, instance_units } of outcomes) {
    worked_ms += Math.min(duration_ms, CALL_MS + (units + instance_units) * UNIT_MS);
  }
  return worked_ms;
}

/**
 * Answers a request whose turn has come; `now_ms` is the present time. Returns the time at its end: reading the clock
 * costs as much as a short reply, so after a short one it is the end of the chain.
 */
function answer(thread: Thread, waiting: Waiting, now_ms: number): number {
  const { request } = waiting;
  const { runner, replies, held } = thread;
  held.before(request.tenant_id, now_ms);
  const reply = isExpired(thread, waiting, now_ms) ? EXPIRED : runChain(runner, request, now_ms);
  const work_ms = workOf(reply);
  thread.worked_ms += work_ms;
  const parts = encodeReply(request.id, reply);
  const was_short = sizeOf(parts) <= SHORT_BYTES;
  const had_room = ringPutBlocking(replies, parts, thread.isEnded);
  held.put(request.tenant_id, work_ms, now_ms);
  return was_short && had_room ? reply.outcomes.reduce(addDuration, now_ms) : runner.now();
}

/** Takes all requests out of the ring; they wait for their turns. Returns the time if there were some. */
function takeRequests(thread: Thread, turns: WaitingTurns): number | undefined {
  let now_ms: number | undefined;
  for (;;) {
    const kept = turns.size === 0 ? thread.taken : undefined;
    const records = ringTake(thread.requests, TAKEN_BYTES, kept);
    if (records === undefined) return now_ms;
    now_ms = thread.runner.now();
    while (records.next()) {
      const request = decodeRequest(records);
      if (request.hold_changes !== undefined) {
        applyChanges(thread.held_values, request.hold_changes);
      }
      const size_bytes = records.end - records.start;
      const most_ms = Math.max(request.deadline_ms - now_ms, LEFT_MS) / 2;
      turns.push(request.tenant_id, { request, worked_ms: thread.worked_ms, most_ms }, size_bytes);
    }
  }
}

/** Works until there is mail, or until the thread is ended. Requests in `turns` wait for the next call. */
function work(thread: Thread, turns: WaitingTurns): void {
  const { requests, progress, held, runner } = thread;
  /** The time, if nothing was done since it was read. */
  let now_ms: number | undefined;
  let seen: number | undefined;
  for (;;) {
    const signals = ringSignals(requests);
    // Requests, mail and the end are all followed by a signal.
    if (signals !== seen) {
      seen = signals;
      now_ms = takeRequests(thread, turns) ?? now_ms;
      // This follows the reading: a request may need a module whose mail was sent before it.
      if (thread.isEnded() || Atomics.load(progress, MAIL) !== thread.mail_handled) break;
    }
    const waiting = turns.take();
    if (waiting === undefined) {
      held.tell();
      // Mail also signals the ring, so anything that came after the read of `signals` ends the wait.
      ringWaitBlocking(requests, signals);
      now_ms = undefined;
      continue;
    }
    const began_ms = now_ms ?? runner.now();
    now_ms = answer(thread, waiting, began_ms);
    turns.charge(waiting.request.tenant_id, now_ms - began_ms);
  }
  held.tell();
}

/** Starts the thread. The first mail is `start`; all others are announced. */
function serve(scope: WorkerScope): void {
  const turns = createTurns<Waiting>(UNBOUNDED);
  let thread: Thread | undefined;
  scope.onmessage = ({ data }) => {
    if (data.kind === "start") {
      thread = createThread(data);
      scope.postMessage({ kind: "ready" });
    } else if (thread !== undefined) {
      const { instances } = thread.runner;
      if (data.kind === "load") instances.load(data.module, data.runnable);
      else instances.unload(data.module);
      thread.mail_handled = (thread.mail_handled + 1) | 0;
    }
    if (thread === undefined) return;
    work(thread, turns);
    if (thread.isEnded()) scope.close();
  };
}

serve(globalThis as unknown as WorkerScope);

// Decides which replies wake the process. Waking it costs more than most chains, so replies to many requests are
// signalled together. But no reply waits for a chain that may run long, or for many short ones. The replies are already
// in the ring; only their signal is held back.

/** The most replies of one signal. */
const HELD_MOST = 64;
/** How long a reply is held while other chains run, in ms. */
const HELD_MS = 0.25;
/** The longest working time of a short chain, in ms. */
const SHORT_MS = 0.1;
/**
 * The number of consecutive short chains of a tenant before replies wait for its next one. If that one is long after
 * all, it is one of many, and at most the fuel of a chain.
 */
const TRUSTED = 64;
/** The most tenants whose chains are counted; one more clears all counts. */
const TENANTS = 4_096;

/** The replies of a worker that were not signalled yet. */
export class HeldReplies {
  readonly #signal: () => void;
  /** The number of short chains of each tenant since its last long one. */
  readonly #short = new Map<string, number>();
  #count = 0;
  #since_ms = 0;

  /** `signal` wakes the process. */
  constructor(signal: () => void) {
    this.#signal = signal;
  }

  /** Signals the held replies unless they may wait for a chain of the tenant, which is about to run. */
  before(tenant_id: string, now_ms: number): void {
    if (this.#count === 0) return;
    const may_wait = now_ms - this.#since_ms < HELD_MS && this.#count < HELD_MOST &&
      (this.#short.get(tenant_id) ?? 0) >= TRUSTED;
    if (!may_wait) this.tell();
  }

  /** Holds one more reply of a chain that began at `now_ms`. Its working time counts for the tenant's next chains. */
  put(tenant_id: string, work_ms: number, now_ms: number): void {
    if (this.#count++ === 0) this.#since_ms = now_ms;
    const short = this.#short.get(tenant_id) ?? 0;
    if (work_ms > SHORT_MS) this.#short.delete(tenant_id);
    else if (short < TRUSTED) {
      if (short === 0 && this.#short.size >= TENANTS) this.#short.clear();
      this.#short.set(tenant_id, short + 1);
    }
  }

  /** Signals all held replies. */
  tell(): void {
    if (this.#count === 0) return;
    this.#count = 0;
    this.#signal();
  }
}
