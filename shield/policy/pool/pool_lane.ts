/**
 * One worker's queue in the process: jobs wait in fair turns, a few of each tenant are at the worker, and the others
 * stay here, where a limit can still refuse them. The lane replaces its worker after a wedge or a death. `pool.ts`
 * decides what a job may run, and interprets replies.
 */
import type { EvaluateRequest } from "../abi/policy.ts";
import type { PolicyOutcome, Verdict } from "../../../shared/records/verdict.ts";
import { LONG_FUEL } from "../../../shared/rates/pace.ts";
import { createTurns, type TenantTurns } from "../../../shared/turns/tenant_turns.ts";
import type { PolicyWorker, PolicyWorkerOptions } from "./pool_worker.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { sizeOf } from "../ring/ring.ts";
import { type ChainEntry, encodeRequest } from "../ring/ring_message.ts";
import { addDuration, type ChainOutcome, type WorkerReply } from "../ring/ring_words.ts";
import type { ChainState } from "../state/chain_state.ts";
import type { KeyHolds, KeyUser, LaneHolds } from "../state/key_holds.ts";
import type { RunnableModule } from "../ring/worker_protocol.ts";
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
  /** Called when the worker has died while `module` ran (0: none). `replace` or `end` follows. */
  readonly onCrash: (module: number, detail: string) => void;
}

/** A queue and its worker. */
export interface Lane {
  /** Adds a job; `now_ms` is the present time, if it is known. */
  push(job: Job, now_ms?: number): void;
  /** Sends the jobs that may go. */
  pump(): void;
  load(module: number, runnable: RunnableModule): void;
  unload(module: number): void;
  /** Returns the waiting jobs of a tenant, in order; running ones stay. */
  takeBack(tenant_id: string): Job[];
  /** The number of running jobs of a tenant. */
  underWay(tenant_id: string): number;
  /**
   * Finds a stuck worker; the caller calls it at regular intervals. Returns the module that was running while the
   * worker made no progress for `checks` calls in a row (0: outside a guest); undefined if the worker is not stuck.
   */
  stuck(checks: number): number | undefined;
  /** Drops the worker, refuses its jobs (`wedge`), and starts another one. */
  replace(): void;
  /** The number of jobs that wait or run. */
  readonly size: number;
  readonly ready: Promise<void>;
  end(): void;
}

/** The limits of all queued jobs, as a multiple of one tenant's part, and in payload bytes. */
const QUEUE_TENANTS = 16;
const QUEUE_BYTES = 67_108_864;

/** Makes a counter of consecutive checks in which a worker with work has made no progress. */
function createStuckCheck() {
  let last_steps = -1;
  let unmoved = 0;
  return ({ steps, is_ready }: ReturnType<PolicyWorker["progress"]>, has_work: boolean): number => {
    unmoved = is_ready && has_work && steps === last_steps ? unmoved + 1 : 0;
    last_steps = steps;
    return unmoved;
  };
}

interface State {
  readonly options: LaneOptions;
  readonly modules: ReadonlyMap<number, RunnableModule>;
  readonly turns: TenantTurns<Job>;
  readonly under_way: Window<Job>;
  readonly mayTake: (tenant_id: string, job: Job) => boolean;
  readonly holds: LaneHolds;
  worker: PolicyWorker;
  unmoved: ReturnType<typeof createStuckCheck>;
  /** A request for which the current worker's ring has no room yet. */
  blocked: readonly Uint8Array[] | undefined;
  ended: boolean;
}

const addUnits = (sum: number, { units, instance_units }: ChainOutcome): number =>
  sum + units + instance_units;

/** Starts a worker. `state` is only called later: the first worker starts before it is complete. */
function start(options: LaneOptions, state: () => State): PolicyWorker {
  const worker = options.start({
    onReply(id, reply, now_ms) {
      const { under_way, turns, holds } = state();
      const job = under_way.take(id);
      if (job === undefined) return;
      holds.replied(job.chain, reply.written ?? NONE, now_ms);
      const { tenant_id } = job.request;
      const used_ms = reply.outcomes.reduce(addDuration, 0);
      const was_long = reply.outcomes.reduce(addUnits, 0) > LONG_FUEL * UNITS_PER_FUEL;
      turns.charge(tenant_id, used_ms);
      under_way.learn(tenant_id, was_long);
      options.onReply(job, reply, was_long, now_ms);
    },
    onDrained: (now_ms) => pump(state(), now_ms),
    onCrash: (detail) => options.onCrash(worker.progress().running, detail),
  });
  return worker;
}

/** Sends a request. False if the ring is full; then the request waits for the next pump. */
function send(state: State, parts: readonly Uint8Array[]): boolean {
  const sent = state.worker.send(parts);
  state.blocked = sent ? undefined : parts.map((part) => part.slice());
  return sent;
}

/** `now_ms` is the present time, if it is known. */
function pump(state: State, now_ms?: number): void {
  const { turns, under_way, blocked, mayTake, holds } = state;
  if (state.ended) return;
  if (blocked !== undefined && !send(state, blocked)) return;
  holds.begin(now_ms);
  while (!under_way.is_full) {
    const job = turns.take(mayTake);
    if (job === undefined) return;
    if (!handOver(state, job, now_ms)) return;
  }
}

/** Sends a job to the worker, or refuses it. False if the ring is full. */
function handOver(state: State, job: Job, now_ms: number | undefined): boolean {
  const { options, under_way, worker, holds } = state;
  const chain = job.done ? undefined : options.admit(job, now_ms);
  if (chain === undefined) return true;
  job.chain = chain;
  const id = under_way.add(job);
  const head = { id, deadline_ms: job.deadline_ms };
  const values = holds.take(chain);
  const parts = encodeRequest(head, job.request, chain, values);
  if (sizeOf(parts) <= worker.record_bytes) return send(state, parts);
  under_way.take(id);
  holds.unsent(chain, values);
  // Values of state, headers and claims make it that large: the payload alone has room.
  options.refuse(job, "queue-full");
  return true;
}

/** Whether a job may go at once: no job waits before it, for any reason. */
function mayPass({ turns, under_way, mayTake, blocked, ended }: State, job: Job): boolean {
  return turns.size === 0 && blocked === undefined && !ended && !under_way.is_full &&
    job.state === undefined && mayTake(job.request.tenant_id, job);
}

function replace(state: State): void {
  const { options, under_way, worker, holds } = state;
  // Verdicts of the worker count even if it could not signal them.
  worker.drain();
  const lost = under_way.clear();
  holds.lost(lost.map(({ chain }) => chain));
  state.blocked = undefined;
  state.unmoved = createStuckCheck();
  worker.end();
  if (!state.ended) {
    state.worker = start(options, () => state);
    for (const [module, runnable] of state.modules) state.worker.load(module, runnable);
  }
  for (const job of lost) options.refuse(job, "wedge");
  pump(state);
}

/** Makes an idle lane whose first worker starts. `modules` are loaded on every worker it starts. */
export function createLane(
  options: LaneOptions,
  modules: ReadonlyMap<number, RunnableModule>,
): Lane {
  const turns = createTurns<Job>({
    per_tenant: options.queue_messages,
    total: options.queue_messages * QUEUE_TENANTS,
    total_bytes: QUEUE_BYTES,
  });
  const under_way = createWindow<Job>(options.queue_messages);
  const holds = options.holds.lane();
  const state: State = {
    options,
    modules,
    turns,
    under_way,
    holds,
    mayTake: (tenant_id, job) =>
      under_way.hasRoom(tenant_id, job) && options.mayGo(tenant_id) && holds.mayTake(job),
    worker: start(options, () => state),
    unmoved: createStuckCheck(),
    blocked: undefined,
    ended: false,
  };
  for (const [module, runnable] of modules) state.worker.load(module, runnable);
  return {
    push(job, now_ms) {
      const { tenant_id, payload } = job.request;
      if (mayPass(state, job)) {
        turns.pass(tenant_id);
        handOver(state, job, now_ms);
        return;
      }
      for (const gone of turns.push(tenant_id, job, payload.length)) {
        options.refuse(gone, "queue-full");
      }
      pump(state, now_ms);
    },
    pump: () => pump(state),
    load: (module, runnable) => state.worker.load(module, runnable),
    unload: (module) => state.worker.unload(module),
    takeBack(tenant_id) {
      const jobs = turns.takeAll(tenant_id);
      // At its new place a job that waits for keys may be behind others that want the same keys.
      for (const job of jobs) options.holds.forget(job);
      return jobs;
    },
    underWay: (tenant_id) => under_way.count(tenant_id),
    stuck(checks) {
      const progress = state.worker.progress();
      const unmoved = state.unmoved(progress, under_way.size > 0);
      return unmoved >= checks ? progress.running : undefined;
    },
    replace: () => replace(state),
    get size() {
      return turns.size + under_way.size;
    },
    get ready() {
      return state.worker.ready;
    },
    end() {
      state.ended = true;
      replace(state);
      for (const job of turns.drain()) options.refuse(job, "wedge");
    },
  };
}

// The jobs at a worker. Their number is limited per tenant and in total, so that queued jobs can still be refused, or
// go to another worker. A tenant begins with few and gets more as its chains turn out to be short, so that an unknown
// tenant cannot use a thread for long. The window has no queue of its own.

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

/** The part of a job that a window uses. */
interface Held {
  readonly request: Pick<EvaluateRequest, "tenant_id" | "payload">;
}

interface Account {
  jobs: number;
  most: number;
}

/** The running jobs of one worker, by the number in its replies. */
interface Window<T extends Held> {
  readonly size: number;
  readonly is_full: boolean;
  hasRoom(tenant_id: string, job: T): boolean;
  /** The number of running jobs of one tenant. */
  count(tenant_id: string): number;
  add(job: T): number;
  take(id: number): T | undefined;
  /**
   * Records the end of a job of the tenant. After short jobs the tenant may have more of them, after a long one fewer.
   */
  learn(tenant_id: string, was_long: boolean): void;
  clear(): T[];
}

/** Makes an empty window; `per_tenant` limits it further. */
export function createWindow<T extends Held>(per_tenant: number): Window<T> {
  const jobs = new SequenceTable<T>();
  const accounts = new Map<string, Account>();
  const most = Math.min(WINDOW, per_tenant);
  const start = Math.min(WINDOW_START, most);
  let bytes = 0;

  function accountOf(tenant_id: string): Account {
    let account = accounts.get(tenant_id);
    if (account === undefined) accounts.set(tenant_id, account = { jobs: 0, most: start });
    return account;
  }

  function count({ request: { tenant_id, payload } }: T, by: 1 | -1): void {
    const account = accountOf(tenant_id);
    account.jobs += by;
    bytes += by * payload.length;
    if (account.jobs === 0 && accounts.size > IDLE_TENANTS) accounts.delete(tenant_id);
  }

  return {
    get size() {
      return jobs.size;
    },
    get is_full() {
      return jobs.size >= WINDOW_TOTAL;
    },
    hasRoom(tenant_id, { request: { payload } }) {
      const account = accounts.get(tenant_id);
      const has_place = account === undefined || account.jobs < account.most;
      return has_place && bytes + payload.length <= WINDOW_BYTES;
    },
    count: (tenant_id) => accounts.get(tenant_id)?.jobs ?? 0,
    add(job) {
      count(job, 1);
      return jobs.add(job);
    },
    take(id) {
      const job = jobs.take(id);
      if (job !== undefined) count(job, -1);
      return job;
    },
    learn(tenant_id, was_long) {
      const account = accounts.get(tenant_id);
      if (account === undefined) return;
      account.most = was_long ? start : Math.min(account.most * 2, most);
    },
    clear() {
      const all = jobs.takeAll();
      for (const job of all) count(job, -1);
      return all;
    },
  };
}
