/**
 * One worker's queue in the process: jobs wait in fair turns, a few of each tenant are under way, the
 * rest stays here where a limit can still refuse it. Replaces its worker when that wedges or dies.
 * What a job may run and what a reply means is decided by `pool.ts`.
 */
import { SequenceTable } from "../../shared/sequence_table.ts";
import type { EvaluateRequest, PolicyOutcome, Verdict } from "./policy.ts";
import { createTurns, type Turns } from "./pool_turns.ts";
import type { PolicyWorker, PolicyWorkerOptions } from "./pool_worker.ts";
import { type ChainEntry, encodeRequest, type WorkerReply } from "./ring_message.ts";
import type { RunnableModule } from "./worker_protocol.ts";

/** One request on its way, and who waits for its verdict. */
export interface Job {
  readonly request: EvaluateRequest;
  readonly resolve: (verdict: Verdict) => void;
  readonly began_ms: number;
  readonly deadline_ms: number;
  /** True when its verdict has been given; a reply that comes later is only counted. */
  done: boolean;
  /** The policies that run, once they do. */
  chain: readonly ChainEntry[];
  /** Policies that observe and cannot run now. */
  skipped: readonly PolicyOutcome[];
  /** Among those that wait for a verdict. */
  number: number;
}

/** Why a lane refuses a job by itself. */
export type LaneFault = "queue-full" | "wedge" | "payload-too-large";

/** What a lane needs. */
export interface LaneOptions {
  readonly start: (
    options: Pick<PolicyWorkerOptions, "generation" | "onReply" | "onDrained" | "onCrash">,
  ) => PolicyWorker;
  /** Jobs of one tenant that may wait. */
  readonly queue_messages: number;
  /** The policies to run for a job now; undefined when the pool has refused it. */
  readonly admit: (job: Job) => readonly ChainEntry[] | undefined;
  readonly refuse: (job: Job, fault: LaneFault) => void;
  readonly onReply: (job: Job, reply: WorkerReply) => void;
  /** The worker has died by itself while `module` ran (0: none): `replace` or `end` follows. */
  readonly onCrash: (module: number, detail: string) => void;
}

/** A queue and its worker. */
export interface Lane {
  push(job: Job): void;
  /** Hands over what may go. */
  pump(): void;
  load(module: number, runnable: RunnableModule): void;
  unload(module: number): void;
  /**
   * Called at equal distances of time. The module that has kept the worker from making any progress
   * for `checks` calls in a row (0: it hangs outside of a guest), undefined when all is well.
   */
  stuck(checks: number): number | undefined;
  /** Gives up the worker, refuses what it had (`wedge`), starts another one. */
  replace(): void;
  /** Jobs that wait or are under way. */
  readonly size: number;
  readonly generation: number;
  readonly ready: Promise<void>;
  end(): void;
}

/**
 * Jobs of one tenant that are under way at a time, unless fewer may wait: what the process hands over
 * in one turn of its event loop. With 16, a turn of 10 ms let through 1,600 messages a second.
 */
const WINDOW = 256;
/** All jobs under way, and the bytes of their payloads: what the worker's own queue may hold. */
const WINDOW_TOTAL = 1_024;
const WINDOW_BYTES = 33_554_432;
/** What may wait in all, as a multiple of one tenant's part, and in payload bytes. */
const QUEUE_TENANTS = 16;
const QUEUE_BYTES = 67_108_864;

/** Tenants whose counts are kept though nothing of theirs is under way: deleting costs more. */
const IDLE_TENANTS = 1_024;

/** The jobs under way on the current worker, by the number that its replies name. */
function createWindow(per_tenant: number) {
  const jobs = new SequenceTable<Job>();
  const by_tenant = new Map<string, number>();
  let bytes = 0;
  const count = ({ request: { tenant_id, payload } }: Job, by: 1 | -1) => {
    const next = (by_tenant.get(tenant_id) ?? 0) + by;
    if (next === 0 && by_tenant.size > IDLE_TENANTS) by_tenant.delete(tenant_id);
    else by_tenant.set(tenant_id, next);
    bytes += by * payload.length;
  };
  return {
    size: () => jobs.size,
    isFull: () => jobs.size >= WINDOW_TOTAL,
    hasRoom: (tenant_id: string, job: Job) =>
      (by_tenant.get(tenant_id) ?? 0) < per_tenant &&
      bytes + job.request.payload.length <= WINDOW_BYTES,
    add(job: Job): number {
      count(job, 1);
      return jobs.add(job);
    },
    take(id: number): Job | undefined {
      const job = jobs.take(id);
      if (job !== undefined) count(job, -1);
      return job;
    },
    clear(): Job[] {
      const all = jobs.takeAll();
      for (const job of all) count(job, -1);
      return all;
    },
  };
}

/** Counts how often in a row a worker with work has not moved. */
function createStuckCheck() {
  let last_steps = -1;
  let unmoved = 0;
  return ({ steps, is_ready }: ReturnType<PolicyWorker["progress"]>, has_work: boolean): number => {
    unmoved = is_ready && has_work && steps === last_steps ? unmoved + 1 : 0;
    last_steps = steps;
    return unmoved;
  };
}

/** A lane's moving parts. */
interface State {
  readonly options: LaneOptions;
  readonly modules: ReadonlyMap<number, RunnableModule>;
  readonly turns: Turns<Job>;
  readonly under_way: ReturnType<typeof createWindow>;
  worker: PolicyWorker;
  unmoved: ReturnType<typeof createStuckCheck>;
  /** A request under way for which the current worker's ring has no room yet. */
  blocked: readonly Uint8Array[] | undefined;
  ended: boolean;
}

/** `state` is used only by what happens later: the first worker starts before it is whole. */
function start(options: LaneOptions, generation: number, state: () => State): PolicyWorker {
  const worker = options.start({
    generation,
    onReply(id, reply) {
      const job = state().under_way.take(id);
      if (job !== undefined) options.onReply(job, reply);
    },
    onDrained: () => pump(state()),
    onCrash: (detail) => options.onCrash(worker.progress().running, detail),
  });
  return worker;
}

/** False when the ring is full; the request waits for the next pump. */
function send(state: State, parts: readonly Uint8Array[]): boolean {
  const sent = state.worker.send(parts);
  state.blocked = sent ? undefined : parts.map((part) => part.slice());
  return sent;
}

function pump(state: State): void {
  const { options, turns, under_way, worker, blocked } = state;
  if (state.ended) return;
  if (blocked !== undefined && !send(state, blocked)) return;
  while (!under_way.isFull()) {
    const job = turns.take(under_way.hasRoom);
    if (job === undefined) return;
    const chain = job.done ? undefined : options.admit(job);
    if (chain === undefined) continue;
    job.chain = chain;
    const id = under_way.add(job);
    const head = { generation: worker.generation, id, deadline_ms: job.deadline_ms };
    const parts = encodeRequest(head, job.request, chain);
    const size_bytes = parts.reduce((sum, part) => sum + part.length, 0);
    if (size_bytes > worker.record_bytes) {
      under_way.take(id);
      options.refuse(job, "payload-too-large");
    } else if (!send(state, parts)) return;
  }
}

function replace(state: State): void {
  const { options, under_way, worker } = state;
  const lost = under_way.clear();
  state.blocked = undefined;
  state.unmoved = createStuckCheck();
  worker.end();
  if (!state.ended) {
    state.worker = start(options, worker.generation + 1, () => state);
    for (const [module, runnable] of state.modules) state.worker.load(module, runnable);
  }
  for (const job of lost) options.refuse(job, "wedge");
  pump(state);
}

/** An idle lane with its first worker starting. `modules` are loaded on every worker it starts. */
export function createLane(
  options: LaneOptions,
  modules: ReadonlyMap<number, RunnableModule>,
): Lane {
  const turns = createTurns<Job>({
    per_tenant: options.queue_messages,
    total: options.queue_messages * QUEUE_TENANTS,
    total_bytes: QUEUE_BYTES,
  });
  const state: State = {
    options,
    modules,
    turns,
    under_way: createWindow(Math.min(WINDOW, options.queue_messages)),
    worker: start(options, 1, () => state),
    unmoved: createStuckCheck(),
    blocked: undefined,
    ended: false,
  };
  for (const [module, runnable] of modules) state.worker.load(module, runnable);
  return {
    push(job) {
      const { tenant_id, payload } = job.request;
      for (const gone of turns.push(tenant_id, job, payload.length)) {
        options.refuse(gone, "queue-full");
      }
      pump(state);
    },
    pump: () => pump(state),
    load: (module, runnable) => state.worker.load(module, runnable),
    unload: (module) => state.worker.unload(module),
    stuck(checks) {
      const progress = state.worker.progress();
      const unmoved = state.unmoved(progress, state.under_way.size() > 0);
      return unmoved >= checks ? progress.running : undefined;
    },
    replace: () => replace(state),
    get size() {
      return turns.size + state.under_way.size();
    },
    get generation() {
      return state.worker.generation;
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
