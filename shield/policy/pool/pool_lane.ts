/**
 * One worker and its queue in the process: jobs wait in fair turns, a few of each tenant are at the worker, and the
 * others stay here, where a limit can still refuse them. The lane replaces its worker after a wedge or a death.
 * `pool.ts` decides what a job may run, and interprets replies.
 */
import type { EvaluateRequest } from "../abi/policy.ts";
import type { PolicyOutcome, Verdict } from "../../../shared/records/verdict.ts";
import { LONG_FUEL } from "../../../shared/rates/pace.ts";
import { createTurns, type TenantTurns } from "../../../shared/turns/tenant_turns.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import {
  createSender,
  openRing,
  Records,
  ringMemory,
  ringSignal,
  ringSignals,
  ringTake,
  ringWait,
  ringWake,
  sizeOf,
} from "../ring/ring.ts";
import type { Ring } from "../ring/ring.ts";
import { type ChainEntry, decodeReply, encodeRequest, RING_LAYOUT } from "../ring/ring_message.ts";
import { addDuration, type ChainOutcome, type WorkerReply } from "../ring/ring_words.ts";
import type { ChainState } from "../state/declaration.ts";
import type { KeyHolds, KeyUser, LaneHolds } from "../state/key_holds.ts";
import { ENDED, MAIL, PROGRESS_BYTES, RUNNING, STEPS } from "../ring/worker_protocol.ts";
import type { RunnableModule, WorkerMail, WorkerReady } from "../ring/worker_protocol.ts";
import { SequenceTable } from "../../../shared/containers/sequence_table.ts";

/** Gets the verdict of one request. An object, since two closures for each message would be its size again. */
export interface VerdictReceiver {
  onVerdict(verdict: Verdict): void;
}

/** One request, with the receiver of its verdict. */
export interface Job extends KeyUser {
  readonly request: EvaluateRequest;
  /** The places of the values that its policies use; undefined if they use none. */
  readonly state: ChainState | undefined;
  readonly receiver: VerdictReceiver;
  /** Set before the receiver gets it. */
  verdict: Verdict | undefined;
  readonly began_ms: number;
  /** The time limit of the verdict, in monotonic ms; moved if this thread is blocked meanwhile. */
  deadline_ms: number;
  /** Whether the verdict was given. A later reply is counted, and its state kept. */
  done: boolean;
  /** The policies that run, once they are known. */
  chain: readonly ChainEntry[];
  /** The outcomes of policies that observe and cannot run now. */
  skipped: readonly PolicyOutcome[];
  /** The job's number among the jobs that wait for a verdict. */
  number: number;
}

const NONE: readonly never[] = [];

/** A job that begins at `began_ms`, with its verdict due `stall_ms` later. */
export function newJob(
  request: EvaluateRequest,
  state: ChainState | undefined,
  receiver: VerdictReceiver,
  began_ms: number,
  stall_ms: number,
): Job {
  return {
    request,
    state,
    receiver,
    verdict: undefined,
    began_ms,
    deadline_ms: began_ms + stall_ms,
    done: false,
    chain: NONE,
    skipped: NONE,
    number: 0,
  };
}

/** The reasons for which a lane itself refuses a job. */
export type LaneFault = "queue-full" | "wedge";

/** The dependencies and settings of a lane. */
export interface LaneOptions {
  readonly start: (
    options: Pick<PolicyWorkerOptions, "onReply" | "onDrained" | "onCrash">,
  ) => PolicyWorker;
  /** The most waiting jobs of one tenant. */
  readonly queue_messages: number;
  /** The policies to run for a job; undefined: the pool has refused it. `now_ms` is the time, if it is known. */
  readonly admit: (job: Job, now_ms?: number) => readonly ChainEntry[] | undefined;
  readonly refuse: (job: Job, fault: LaneFault) => void;
  /** Called with a reply that was found at `now_ms`. `was_long`: the chain burnt more than `LONG_FUEL`. */
  readonly onReply: (job: Job, reply: WorkerReply, was_long: boolean, now_ms: number) => void;
  readonly holds: KeyHolds;
  /** Whether jobs of the tenant may go now: not while older ones run at another worker. */
  readonly mayGo: (tenant_id: string) => boolean;
  /** Called when the worker has died while `module` ran (0: none). `replace` or `end` of the lane follows. */
  readonly onCrash: (module: number, detail: string) => void;
}

/** The limits of all queued jobs, as a multiple of one tenant's part, and in payload bytes. */
const QUEUE_TENANTS = 16;
const QUEUE_BYTES = 67_108_864;

const addUnits = (sum: number, { units, instance_units }: ChainOutcome): number =>
  sum + units + instance_units;

/** A queue and its worker. */
export class Lane {
  readonly #options: LaneOptions;
  readonly #modules: ReadonlyMap<number, RunnableModule>;
  readonly #turns: TenantTurns<Job>;
  readonly #under_way: UnderWay<Job>;
  readonly #holds: LaneHolds;
  readonly #mayTake = (tenant_id: string, job: Job): boolean =>
    this.#under_way.hasRoom(tenant_id, job) && this.#options.mayGo(tenant_id) &&
    this.#holds.mayTake(job);
  #worker: PolicyWorker;
  /** The consecutive checks in which the worker had work and made no progress, and its steps at the last one. */
  #unmoved = 0;
  #last_steps = -1;
  /** A request for which the current worker's ring has no room yet. */
  #blocked: readonly Uint8Array[] | undefined;
  #ended = false;

  /** Makes an idle lane whose first worker starts. `modules` are loaded on every worker it starts. */
  constructor(options: LaneOptions, modules: ReadonlyMap<number, RunnableModule>) {
    this.#options = options;
    this.#modules = modules;
    this.#turns = createTurns<Job>({
      per_tenant: options.queue_messages,
      total: options.queue_messages * QUEUE_TENANTS,
      total_bytes: QUEUE_BYTES,
    });
    this.#under_way = new UnderWay(options.queue_messages);
    this.#holds = options.holds.lane();
    this.#worker = this.#start();
  }

  /** The number of jobs that wait or run. */
  get size(): number {
    return this.#turns.size + this.#under_way.size;
  }

  get ready(): Promise<void> {
    return this.#worker.ready;
  }

  /** Adds a job; `now_ms` is the present time, if it is known. */
  push(job: Job, now_ms?: number): void {
    const { tenant_id, payload } = job.request;
    if (this.#mayPass(job, now_ms)) {
      this.#turns.pass(tenant_id);
      this.#handOver(job, now_ms);
      return;
    }
    for (const gone of this.#turns.push(tenant_id, job, payload.length)) {
      this.#options.refuse(gone, "queue-full");
    }
    this.pump(now_ms);
  }

  /** Sends the jobs that may go. `now_ms` is the present time, if it is known. */
  pump(now_ms?: number): void {
    if (this.#ended) return;
    if (this.#blocked !== undefined && !this.#send(this.#blocked)) return;
    this.#holds.begin(now_ms);
    while (!this.#under_way.is_full) {
      const job = this.#turns.take(this.#mayTake);
      if (job === undefined) return;
      if (!this.#handOver(job, now_ms)) return;
    }
  }

  load(module: number, runnable: RunnableModule): void {
    this.#worker.load(module, runnable);
  }

  unload(module: number): void {
    this.#worker.unload(module);
  }

  /** Returns the waiting jobs of a tenant, in order; running ones stay. */
  takeBack(tenant_id: string): Job[] {
    const jobs = this.#turns.takeAll(tenant_id);
    // At its new place a job that waits for keys may be behind others that want the same keys.
    for (const job of jobs) this.#options.holds.forget(job);
    return jobs;
  }

  /** The number of running jobs of a tenant. */
  underWay(tenant_id: string): number {
    return this.#under_way.count(tenant_id);
  }

  /**
   * Finds a stuck worker; the caller calls it at regular intervals. Returns the module that was running while the
   * worker made no progress for `checks` calls in a row (0: outside a guest); undefined if the worker is not stuck.
   */
  stuck(checks: number): number | undefined {
    const { steps, running, is_ready } = this.#worker.progress();
    const is_unmoved = is_ready && this.#under_way.size > 0 && steps === this.#last_steps;
    this.#unmoved = is_unmoved ? this.#unmoved + 1 : 0;
    this.#last_steps = steps;
    return this.#unmoved >= checks ? running : undefined;
  }

  /** Drops the worker, refuses its jobs (`wedge`), and starts another one. */
  replace(): void {
    // Verdicts of the worker count even if it could not signal them.
    this.#worker.drain();
    const lost = this.#under_way.clear();
    this.#holds.lost(lost.map(({ chain }) => chain));
    this.#blocked = undefined;
    this.#last_steps = -1;
    this.#worker.end();
    if (!this.#ended) this.#worker = this.#start();
    for (const job of lost) this.#options.refuse(job, "wedge");
    this.pump();
  }

  end(): void {
    this.#ended = true;
    this.replace();
    for (const job of this.#turns.drain()) this.#options.refuse(job, "wedge");
  }

  #start(): PolicyWorker {
    const worker = this.#options.start({
      onReply: (id, reply, now_ms) => this.#receive(id, reply, now_ms),
      onDrained: (now_ms) => this.pump(now_ms),
      onCrash: (detail) => this.#options.onCrash(worker.progress().running, detail),
    });
    for (const [module, runnable] of this.#modules) worker.load(module, runnable);
    return worker;
  }

  #receive(id: number, reply: WorkerReply, now_ms: number): void {
    const job = this.#under_way.take(id);
    if (job === undefined) return;
    this.#holds.replied(job.chain, reply.written ?? NONE, now_ms);
    const { tenant_id } = job.request;
    const was_long = reply.outcomes.reduce(addUnits, 0) > LONG_FUEL * UNITS_PER_FUEL;
    this.#turns.charge(tenant_id, reply.outcomes.reduce(addDuration, 0));
    this.#under_way.learn(tenant_id, was_long);
    this.#options.onReply(job, reply, was_long, now_ms);
  }

  /** Sends a request. False if the ring is full; then the request waits for the next pump. */
  #send(parts: readonly Uint8Array[]): boolean {
    const sent = this.#worker.send(parts);
    this.#blocked = sent ? undefined : parts.map((part) => part.slice());
    return sent;
  }

  /** Sends a job to the worker, or refuses it. False if the ring is full. */
  #handOver(job: Job, now_ms: number | undefined): boolean {
    const chain = job.done ? undefined : this.#options.admit(job, now_ms);
    if (chain === undefined) return true;
    job.chain = chain;
    const id = this.#under_way.add(job);
    const head = { id, deadline_ms: job.deadline_ms };
    const values = this.#holds.take(chain);
    const parts = encodeRequest(head, job.request, chain, values);
    if (sizeOf(parts) <= this.#worker.record_bytes) return this.#send(parts);
    this.#under_way.take(id);
    this.#holds.unsent(chain, values);
    // Values of state, headers and claims make it that large: the payload alone has room.
    this.#options.refuse(job, "queue-full");
    return true;
  }

  /** Whether a job may go at once: no job waits before it, for any reason. */
  #mayPass(job: Job, now_ms: number | undefined): boolean {
    if (this.#turns.size > 0 || this.#blocked !== undefined || this.#ended) return false;
    if (job.state !== undefined) this.#holds.begin(now_ms);
    return !this.#under_way.is_full && this.#mayTake(job.request.tenant_id, job);
  }
}

// The jobs at a worker. Their number is limited per tenant and in total, so that queued jobs can still be refused, or
// go to another worker. A tenant begins with few and gets more as its chains turn out to be short, so that an unknown
// tenant cannot use a thread for long. There is no further queue.

/** The running jobs of a tenant while nothing is known about its chains. */
const WINDOW_START = 8;
/**
 * The running jobs of a tenant with short chains, unless fewer may wait: as many as the process sends in one turn of
 * its event loop. With 16, a turn of 10 ms let through 1,600 messages a second.
 */
const WINDOW = 256;
/** The most running jobs, and the most bytes of their payloads: the limits of the worker's own queue. */
const WINDOW_TOTAL = 1_024;
const WINDOW_BYTES = 33_554_432;
/** The most tenants without running jobs whose counts are kept: deleting costs more. */
const IDLE_TENANTS = 1_024;

/** The part of a job that counts. */
interface Held {
  readonly request: Pick<EvaluateRequest, "tenant_id" | "payload">;
}

interface Account {
  jobs: number;
  most: number;
}

/** The running jobs of one worker, by the number in its replies. */
export class UnderWay<T extends Held> {
  readonly #jobs = new SequenceTable<T>();
  readonly #accounts = new Map<string, Account>();
  readonly #most: number;
  readonly #start: number;
  #bytes = 0;

  /** `per_tenant` limits the jobs of a tenant further. */
  constructor(per_tenant: number) {
    this.#most = Math.min(WINDOW, per_tenant);
    this.#start = Math.min(WINDOW_START, this.#most);
  }

  get size(): number {
    return this.#jobs.size;
  }

  get is_full(): boolean {
    return this.#jobs.size >= WINDOW_TOTAL;
  }

  hasRoom(tenant_id: string, { request: { payload } }: T): boolean {
    const account = this.#accounts.get(tenant_id);
    const has_place = account === undefined || account.jobs < account.most;
    return has_place && this.#bytes + payload.length <= WINDOW_BYTES;
  }

  count(tenant_id: string): number {
    return this.#accounts.get(tenant_id)?.jobs ?? 0;
  }

  add(job: T): number {
    this.#count(job, 1);
    return this.#jobs.add(job);
  }

  take(id: number): T | undefined {
    const job = this.#jobs.take(id);
    if (job !== undefined) this.#count(job, -1);
    return job;
  }

  /**
   * Records the end of a job of the tenant. After short jobs the tenant may have more of them, after a long one fewer.
   */
  learn(tenant_id: string, was_long: boolean): void {
    const account = this.#accounts.get(tenant_id);
    if (account === undefined) return;
    account.most = was_long ? this.#start : Math.min(account.most * 2, this.#most);
  }

  clear(): T[] {
    const all = this.#jobs.takeAll();
    for (const job of all) this.#count(job, -1);
    return all;
  }

  #count({ request: { tenant_id, payload } }: T, by: 1 | -1): void {
    let account = this.#accounts.get(tenant_id);
    if (account === undefined) {
      this.#accounts.set(tenant_id, account = { jobs: 0, most: this.#start });
    }
    account.jobs += by;
    this.#bytes += by * payload.length;
    if (account.jobs === 0 && this.#accounts.size > IDLE_TENANTS) this.#accounts.delete(tenant_id);
  }
}

// One policy worker from the process's side: a thread, its two rings and its progress. After a worker was dropped, its
// rings are no longer read.

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
