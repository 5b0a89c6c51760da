/**
 * The thread on which policies run: a Web Worker without permissions. It takes requests from its ring,
 * lets tenants take turns by the time that they use, and blocks when there is nothing to do. It returns
 * to its event loop only to receive mail (modules), which is why the process announces mail in shared
 * memory.
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
} from "../ring/ring.ts";
import type { Ring } from "../ring/ring.ts";
import { decodeRequest, encodeReply, RING_LAYOUT } from "../ring/ring_message.ts";
import type { WorkerRequest } from "../ring/ring_message.ts";
import type { WorkerReply } from "../ring/ring_words.ts";
import { type HeldValues, takeTold } from "../state/held_values.ts";
import { type ChainRunner, runChain } from "./worker_chain.ts";
import { createInstances } from "./worker_instances.ts";
import { ENDED, MAIL, RUNNING, STEPS } from "../ring/worker_protocol.ts";
import type { WorkerMail, WorkerReady } from "../ring/worker_protocol.ts";

type Start = WorkerMail & { kind: "start" };

/** The part of the worker's global scope that is used; the workspace's `lib` is the main thread's. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerMail>) => void) | null;
  postMessage(message: WorkerReady): void;
  close(): void;
}

/** A request that waits for its turn. */
interface Waiting {
  readonly request: WorkerRequest;
  /**
   * The thread's working time when the request came, and how much more it may be before that is too
   * late.
   */
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
  /** Room for requests, for when no older one waits whose piece it may be. */
  readonly taken: Records;
  mail_handled: number;
  /**
   * The thread's working time in guests. It is no more than their fuel can take, so pauses of the
   * thread do not count.
   */
  worked_ms: number;
}

/** Requests are copied out of the ring in pieces of so many bytes: one that waits keeps its piece. */
const TAKEN_BYTES = 65_536;
/** The most time that a unit of fuel takes, and that a call takes besides its fuel, in ms. */
const UNIT_MS = 1e-6;
const CALL_MS = 0.1;
/**
 * The least time that a request counts as having left, in ms: one that comes at its deadline or later
 * was held up on its way.
 */
const LEFT_MS = 25;
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
  const replies = openRing(start.replies);
  const held_values: HeldValues = new Map();
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
      instances: createInstances(start.instances),
      fuel_limit: start.fuel_limit,
      chain_fuel_limit: start.chain_fuel_limit,
      now: () => performance.now() + behind_ms,
      held: held_values,
      onProgress(module) {
        Atomics.store(progress, RUNNING, module);
        Atomics.add(progress, STEPS, 1);
      },
    },
  };
}

function handle(thread: Thread, mail: Exclude<WorkerMail, Start>): void {
  if (mail.kind === "load") thread.runner.instances.load(mail.module, mail.runnable);
  else thread.runner.instances.unload(mail.module);
}

/**
 * Whether nobody waits for a request any longer because others took the time. Where the machine took it,
 * the process has not noticed either and waits on.
 */
function isExpired(
  thread: Thread,
  { request, worked_ms, most_ms }: Waiting,
  now_ms: number,
): boolean {
  const others_ms = thread.worked_ms - worked_ms;
  return now_ms > request.deadline_ms && others_ms >= most_ms;
}

function receive(thread: Thread, request: WorkerRequest, now_ms: number): Waiting {
  const left_ms = Math.max(request.deadline_ms - now_ms, LEFT_MS);
  return { request, worked_ms: thread.worked_ms, most_ms: left_ms / 2 };
}

/** The working time of a chain, but no more than its fuel can have taken. */
function workOf({ outcomes }: WorkerReply): number {
  let worked_ms = 0;
  for (const { duration_ms, units, instance_units } of outcomes) {
    worked_ms += Math.min(duration_ms, CALL_MS + (units + instance_units) * UNIT_MS);
  }
  return worked_ms;
}

function endOf({ outcomes }: WorkerReply, began_ms: number): number {
  let ended_ms = began_ms;
  for (const { duration_ms } of outcomes) ended_ms += duration_ms;
  return ended_ms;
}

/**
 * Answers a request whose turn has come; `now_ms` is the time now. Gives the time when that is done: a clock
 * costs as much as a short reply, so after one of those it is when the chain ended.
 */
function answer(thread: Thread, waiting: Waiting, now_ms: number): number {
  const { request } = waiting;
  const { runner, replies, held } = thread;
  held.before(request.tenant_id, now_ms);
  const reply = isExpired(thread, waiting, now_ms) ? EXPIRED : runChain(runner, request, now_ms);
  const work_ms = workOf(reply);
  thread.worked_ms += work_ms;
  const parts = encodeReply(request.id, reply);
  const was_short = parts.length === 1;
  const had_room = ringPutBlocking(replies, parts, thread.isEnded);
  held.put(request.tenant_id, work_ms, now_ms);
  return was_short && had_room ? endOf(reply, now_ms) : runner.now();
}

/**
 * Takes all requests out of the ring; they wait for their turns. Gives the time when there were some.
 */
function takeRequests(thread: Thread, turns: WaitingTurns): number | undefined {
  let now_ms: number | undefined;
  for (;;) {
    const kept = turns.size === 0 ? thread.taken : undefined;
    const records = ringTake(thread.requests, TAKEN_BYTES, kept);
    if (records === undefined) return now_ms;
    now_ms = thread.runner.now();
    while (records.next()) {
      const request = decodeRequest(records);
      if (request.told !== undefined) takeTold(thread.held_values, request.told);
      const size_bytes = records.end - records.start;
      turns.push(request.tenant_id, receive(thread, request, now_ms), size_bytes);
    }
  }
}

/**
 * Works until there is mail, or until the thread is ended. What is left in `turns` waits for the next
 * time.
 */
function work(thread: Thread, turns: WaitingTurns): void {
  const { requests, progress, held, runner } = thread;
  /** The time, where nothing was done since somebody looked. */
  let now_ms: number | undefined;
  for (;;) {
    const seen = ringSignals(requests);
    now_ms = takeRequests(thread, turns) ?? now_ms;
    // This comes after reading: a request may need a module whose mail was sent before it.
    if (thread.isEnded() || Atomics.load(progress, MAIL) !== thread.mail_handled) break;
    const waiting = turns.take();
    if (waiting === undefined) {
      held.tell();
      // Mail signals the ring, too, so whatever came after `seen` was read ends the wait.
      ringWaitBlocking(requests, seen);
      now_ms = undefined;
      continue;
    }
    const began_ms = now_ms ?? runner.now();
    now_ms = answer(thread, waiting, began_ms);
    turns.charge(waiting.request.tenant_id, now_ms - began_ms);
  }
  held.tell();
}

/** Starts the thread. The first mail is `start`, and every other one was announced. */
function serve(scope: WorkerScope): void {
  const turns = createTurns<Waiting>(UNBOUNDED);
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
    if (thread.isEnded()) scope.close();
  };
}

serve(globalThis as unknown as WorkerScope);

// Which replies wake the process. Waking it costs more than most chains, so replies to many
// requests are reported together; but none waits for a chain that may run long, nor for many short
// ones. Knows no ring: the replies are there already, only the signal for them is held back.

/** The most replies that one signal reports. */
const HELD_MOST = 32;
/** How long a reply is held while others run, in ms. */
const HELD_MS = 0.25;
/** A chain is short up to this working time, in ms. */
const SHORT_MS = 0.1;
/**
 * So many chains of a tenant in a row must have been short before replies wait for its next one. If that
 * is a long one after all, it is one of many, and at most the fuel of a chain.
 */
const TRUSTED = 64;
/** The most tenants whose chains are counted; all are forgotten for one more. */
const TENANTS = 4_096;

/** The replies of a worker that the process was not notified of. */
export class HeldReplies {
  readonly #signal: () => void;
  /** How many chains of each tenant were short, since the last that was not. */
  readonly #short = new Map<string, number>();
  #count = 0;
  #since_ms = 0;

  /** `signal` wakes the process. */
  constructor(signal: () => void) {
    this.#signal = signal;
  }

  /** Reports what is held unless it may wait for a chain of the tenant, which is about to run. */
  before(tenant_id: string, now_ms: number): void {
    if (this.#count === 0) return;
    const may_wait = now_ms - this.#since_ms < HELD_MS && this.#count < HELD_MOST &&
      (this.#short.get(tenant_id) ?? 0) >= TRUSTED;
    if (!may_wait) this.tell();
  }

  /**
   * Holds one more reply of a chain that began at `now_ms`; its working time says how much the tenant
   * is trusted.
   */
  put(tenant_id: string, work_ms: number, now_ms: number): void {
    if (this.#count++ === 0) this.#since_ms = now_ms;
    const short = this.#short.get(tenant_id) ?? 0;
    if (work_ms > SHORT_MS) this.#short.delete(tenant_id);
    else if (short < TRUSTED) this.#trust(tenant_id, short + 1);
  }

  /** Reports everything that is held. */
  tell(): void {
    if (this.#count === 0) return;
    this.#count = 0;
    this.#signal();
  }

  #trust(tenant_id: string, short: number): void {
    if (short === 1 && this.#short.size >= TENANTS) this.#short.clear();
    this.#short.set(tenant_id, short);
  }
}
