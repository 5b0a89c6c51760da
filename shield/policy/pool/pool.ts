/**
 * The policy pool: it takes a request with its chain, and returns the chain's verdict. `registry.ts` selects the chain;
 * a message without a chain never comes here.
 */
import type { Env } from "../../../shared/env.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { SequenceTable } from "../../../shared/containers/sequence_table.ts";
import type { EvaluateRequest } from "../abi/policy.ts";
import type { PolicyFault, PolicyOutcome, Verdict } from "../../../shared/records/verdict.ts";
import { createPolicyMetrics, type PolicyMetrics } from "./policy_metrics.ts";
import { type ChainGate, createChainGate } from "./chain_gate.ts";
import { type InlineTier, inlineTier } from "./inline_tier.ts";
import { type Job, newJob, type VerdictReceiver } from "./pool_lane.ts";
import { createLanes, type Lanes } from "./pool_lanes.ts";
import { type LoadableModule, Modules } from "./pool_modules.ts";
import { createPoolState, type PoolState } from "./pool_state.ts";
import { faultVerdict, namedLogs, verdictOf, withSeen } from "./pool_verdict.ts";
import type { Quarantine, QuarantineCause } from "../modules/quarantine.ts";
import type { ChainEntry } from "../ring/ring_message.ts";
import { addDuration, type WorkerReply } from "../ring/ring_words.ts";
import type { Asking } from "../../../shared/rates/breaker.ts";

interface PolicyPoolOptions extends Pick<Env, "registry" | "log"> {
  readonly policy: Config["policy"];
  readonly overseer: Pick<Config["platform"]["overseer"], "fuel_limit">;
  /** Cores of the machine, `navigator.hardwareConcurrency`; used if `policy.workers` is absent. */
  readonly cores: number;
  /** Monotonic ms, `performance.now`. */
  readonly now: () => number;
  /** CPU time that this process has used, in ms. */
  readonly cpu_ms: () => number;
  /** Called when too many workers have wedged recently, or died: the process must drain and exit non-zero. */
  readonly onFatal: (detail: string) => void;
  /** Gets the modules that have wedged or killed a worker; the pool refuses its modules. */
  readonly quarantine: Pick<Quarantine, "has" | "add" | "list">;
}

/** The pool's state, for `/v1/status` and tests. */
interface PoolStatus {
  readonly workers: number;
  /** Tenants that share one worker because their chains run long. */
  readonly slow_tenants: number;
  /** The number of requests that wait or run. */
  readonly pending: number;
  readonly modules: readonly string[];
  /** sha256 of the modules in quarantine. */
  readonly quarantined: readonly string[];
  readonly workers_replaced: number;
  /** Open breakers: the module is refused for the tenant until its cool-down has passed. */
  readonly open_breakers: readonly { readonly tenant_id: string; readonly sha256: string }[];
}

/** A running pool. */
export interface PolicyPool extends Pick<Modules, "isStateful"> {
  /**
   * The chain's verdict. Never rejects: every failure is a refusal with a `fault` in the outcome of the policy that
   * could not decide. Requests of one connection run in the order of its calls, those with keyed state in the order of
   * those that share a key.
   */
  evaluate(request: EvaluateRequest): Promise<Verdict>;
  /**
   * Like `evaluate`, but calls the receiver once, never before it has returned. Verdicts that are found or made
   * together are reported in one turn.
   */
  ask(request: EvaluateRequest, receiver: VerdictReceiver): void;
  /**
   * The chain's verdict if it gets one on this thread (`inline_tier.ts`); undefined if `evaluate` has to run it. Never
   * throws.
   */
  evaluateInline(request: EvaluateRequest): Verdict | undefined;
  /** Gives a module to every worker, unless it is in quarantine; then chains that name it are refused. */
  load(sha256: string, module: LoadableModule): void;
  /**
   * Drops a module and its instances. Chains that still name it are refused (`missing-module`, or `wedge`
   * while it is in quarantine).
   */
  unload(sha256: string): void;
  status(): PoolStatus;
  /** Refuses waiting requests, and ends the workers. */
  close(): Promise<void>;
}

/** The number of progress checks of a worker within `policy.wedge_ms`. */
const WEDGE_CHECKS = 4;
/**
 * The wedges within this time, or the deaths by internal errors at any time, after which the process gives up. Each
 * wedge puts its module into quarantine, so several wedges need several modules.
 */
const WEDGES = { most: 4, memory_ms: 600_000 };
const CRASHES = 8;
const NO_OUTCOMES: readonly PolicyOutcome[] = [];

interface State {
  readonly options: PolicyPoolOptions;
  /** Absent if all chains run in workers. */
  readonly tier: InlineTier | undefined;
  readonly chain_fuel_limit: number;
  /** Jobs without a verdict, in the order of their deadlines, since all wait equally long. */
  readonly waiting: SequenceTable<Job>;
  readonly verdicts: Verdicts;
  readonly modules: Modules;
  readonly metrics: PolicyMetrics;
  readonly gate: ChainGate;
  readonly lanes: Lanes;
  readonly keyed: PoolState;
  readonly isWedgedOften: ReturnType<typeof createWedgeCount>;
  readonly watch: ReturnType<typeof createWatch>;
  /** The time of this turn's first request; undefined: there was none yet. */
  turn_ms: number | undefined;
  crashes: number;
  last_crash: string;
  replaced: number;
  closed: boolean;
}

function createState(options: PolicyPoolOptions): State {
  const { policy, registry, log, now, quarantine } = options;
  const waiting = new SequenceTable<Job>();
  const { fuel_limit } = options.overseer;
  const { chain_fuel_limit } = policy;
  const metrics = createPolicyMetrics(registry, {
    pending: () => waiting.size,
    workers: () => state.lanes.size,
    slow_tenants: () => state.lanes.slow_tenants,
    quarantined: () => quarantine.list().length,
    senders: () => state.gate.breakers.senders,
    senders_dropped: () => state.gate.breakers.senders_dropped,
  });
  const modules = new Modules({
    onLoad(number, runnable) {
      state.tier?.load(number, runnable);
      state.lanes.load(number, runnable);
    },
    onUnload(number) {
      state.tier?.unload(number);
      state.lanes.unload(number);
    },
  });
  const gate = createChainGate({ policy, modules, quarantine, log, now });
  const keyed = createPoolState(options, modules, () => state.lanes.pumpLater());
  const { charge } = gate;
  const state: State = {
    options,
    keyed,
    tier: inlineTier(policy, { modules, keyed, now, charge, onAgain: metrics.ranAgain }),
    chain_fuel_limit,
    waiting,
    verdicts: new Verdicts(),
    modules,
    metrics,
    gate,
    lanes: createLanes({
      policy,
      fuel_limit,
      chain_fuel_limit,
      cores: options.cores,
      now,
      modules: modules.runnable,
      holds: keyed.holds,
      admit: (job, now_ms) => admit(state, job, now_ms),
      refuse: (job, fault) => refuse(state, job, fault),
      onReply: (job, reply, now_ms) => onReply(state, job, reply, now_ms),
      onCrash: (module, detail) => onCrash(state, module, detail),
    }),
    isWedgedOften: createWedgeCount(WEDGES),
    watch: createWatch(options, () => state),
    turn_ms: undefined,
    crashes: 0,
    last_crash: "",
    replaced: 0,
    closed: false,
  };
  return state;
}

/** Starts the workers; resolves when they are ready. Rejects if they do not start. */
export async function createPolicyPool(options: PolicyPoolOptions): Promise<PolicyPool> {
  const state = createState(options);
  const { modules, gate, lanes } = state;
  await lanes.ready();
  if (state.crashes > 0) {
    close(state);
    throw new Error(`the policy workers do not start: ${state.last_crash}`);
  }
  return {
    evaluate: (request) => new Promise((onVerdict) => ask(state, request, { onVerdict })),
    ask: (request, receiver) => ask(state, request, receiver),
    evaluateInline: (request) => evaluateInline(state, request),
    load(sha256, module) {
      if (!options.quarantine.has(sha256)) modules.load(sha256, module);
    },
    unload: (sha256) => unload(state, sha256),
    isStateful: (sha256) => modules.isStateful(sha256),
    status: () => ({
      workers: lanes.size,
      slow_tenants: lanes.slow_tenants,
      pending: state.waiting.size,
      modules: modules.loaded(),
      quarantined: options.quarantine.list().map(({ sha256 }) => sha256),
      workers_replaced: state.replaced,
      open_breakers: gate.breakers.open(),
    }),
    close: () => Promise.resolve(close(state)),
  };
}

function ask(state: State, request: EvaluateRequest, receiver: VerdictReceiver): void {
  const { stall_ms, payload_bytes } = state.options.policy;
  const job = newJob(request, state.keyed.of(request), receiver, turnTime(state), stall_ms);
  job.number = state.waiting.add(job);
  state.tier?.sent(request.tenant_id);
  if (state.closed) refuse(state, job, "stall");
  else if (request.payload.length > payload_bytes) refuse(state, job, "payload-too-large");
  else {
    state.watch.begin();
    state.lanes.push(job);
  }
}

/** The time, read once for the requests of a turn: reading it costs a tenth of what the pool does for one. */
function turnTime(state: State): number {
  if (state.turn_ms === undefined) queueMicrotask(() => state.turn_ms = undefined);
  return state.turn_ms ??= state.options.now();
}

function evaluateInline(state: State, request: EvaluateRequest): Verdict | undefined {
  const { tier, gate, metrics, options: { policy, now } } = state;
  if (tier === undefined || state.closed || request.payload.length > policy.payload_bytes) {
    return undefined;
  }
  const began_ms = now();
  const ran = gate.isClear(request, began_ms) ? tier.run(request, began_ms) : undefined;
  if (ran === undefined) return undefined;
  const { chain, reply, ended_ms } = ran;
  const verdict = verdictIn(state, request, chain, reply, NO_OUTCOMES, ended_ms);
  metrics.ranInline();
  count(state, verdict, ended_ms - began_ms);
  return withSeen(verdict, { request, chain }, reply, policy.inline_fuel);
}

function count({ metrics, options: { policy } }: State, verdict: Verdict, duration_ms: number) {
  metrics.verdict(duration_ms);
  verdict.outcomes.forEach(metrics.outcome);
  if (duration_ms > policy.timeout_ms) metrics.late();
}

/** Gives a job its verdict once; later verdicts are dropped. */
function settle(state: State, job: Job, verdict: Verdict, now_ms = state.options.now()): void {
  if (job.done) return;
  job.done = true;
  state.keyed.holds.forget(job);
  state.waiting.take(job.number);
  state.tier?.settled(job.request.tenant_id);
  count(state, verdict, now_ms - job.began_ms);
  job.verdict = verdict;
  state.verdicts.add(job);
}

function refuse(state: State, job: Job, fault: PolicyFault): void {
  settle(state, job, faultVerdict(job.request, fault));
}

function unload({ modules, gate }: State, sha256: string): void {
  if (modules.unload(sha256)) gate.forget(sha256);
}

type Entries = readonly ChainEntry[];

function admit(state: State, job: Job, now_ms = state.options.now()): Entries | undefined {
  const admission = state.gate.admit(job.request, job.state, now_ms);
  if ("verdict" in admission) {
    settle(state, job, admission.verdict);
    return undefined;
  }
  job.skipped = admission.skipped;
  return admission.chain;
}

/** Handles a worker's reply. A late one is charged too; only its verdict does not count. */
function onReply(state: State, job: Job, reply: WorkerReply, now_ms: number): void {
  const { metrics, tier, options: { overseer } } = state;
  metrics.busy(reply.outcomes.reduce(addDuration, 0));
  tier?.proved(job.chain, reply.outcomes);
  const verdict = verdictIn(state, job.request, job.chain, reply, job.skipped, now_ms);
  if (reply.expired === true) refuse(state, job, "stall");
  else settle(state, job, withSeen(verdict, job, reply, overseer.fuel_limit), now_ms);
}

function replaceWedged(state: State): void {
  for (const module of state.lanes.replaceStuck(WEDGE_CHECKS)) {
    state.replaced++;
    state.metrics.replaced();
    const detail = `a worker made no progress ${blame(state, module, "wedge")}`;
    state.options.log.error("policy worker wedged, replaced", { detail });
    const { most, memory_ms } = WEDGES;
    if (!state.isWedgedOften(state.options.now())) continue;
    state.options.onFatal(`${most} policy workers wedged within ${memory_ms / 60_000} minutes`);
  }
}

/** Puts the running module into quarantine on every node; returns a text for the place. */
function blame(state: State, module: number, why: QuarantineCause): string {
  const sha256 = state.modules.sha256(module);
  if (sha256 === undefined) return "outside of a module";
  unload(state, sha256);
  state.options.quarantine.add(sha256, why);
  return `in module ${sha256}, which is quarantined`;
}

/** Records that a worker died. Returns true if another one has to start. */
function onCrash(state: State, module: number, detail: string): boolean {
  state.last_crash = detail;
  state.replaced++;
  state.metrics.replaced();
  const where = blame(state, module, "crash");
  state.options.log.error("policy worker died", { detail: `${detail} (${where})` });
  if (++state.crashes === CRASHES) state.options.onFatal(`${CRASHES} policy workers died`);
  return state.crashes < CRASHES && !state.closed;
}

function close(state: State): void {
  if (state.closed) return;
  state.closed = true;
  state.keyed.end();
  state.watch.end();
  state.lanes.end();
  for (const job of state.waiting.values()) refuse(state, job, "stall");
}

const STALL_CHECKS = 10;
/** A check that is later than this, in ms, shows that the thread was blocked. */
const LATE_MS = 10;

/**
 * While this process has hardly a core, one in this many checks still counts: a worker may hang without using a core.
 */
const STARVED_CHECKS = 10;

/**
 * Makes a watch over the jobs and workers of a pool. It checks while there is work, and has not started yet. A worker
 * without a core makes no progress either, without its module's fault. So a check only counts if the process had at
 * least half a core since the previous one.
 */
function createWatch(options: PolicyPoolOptions, pool: () => State) {
  const { policy, now, cpu_ms } = options;
  const { stall_ms, wedge_ms } = policy;
  const wedge_check_ms = wedge_ms / WEDGE_CHECKS;
  const tick_ms = Math.max(1, Math.min(stall_ms / STALL_CHECKS, wedge_check_ms));
  let timer: ReturnType<typeof setInterval> | undefined;
  let next_tick_ms = 0;
  let next_check_ms = 0;
  let used_ms = 0;
  let starved = 0;

  /**
   * Moves deadlines by the time in which this thread could not run: verdicts may wait to be read, and otherwise all of
   * them would be refused in the first turn after a long garbage collection.
   */
  function forgive(late_ms: number): void {
    if (late_ms < LATE_MS) return;
    for (const job of pool().waiting.values()) job.deadline_ms += late_ms;
  }

  function refuseStalled(now_ms: number): void {
    for (const job of pool().waiting.values()) {
      if (job.deadline_ms > now_ms) return;
      refuse(pool(), job, "stall");
    }
  }

  function checkWorkers(late_ms: number): void {
    const before_ms = used_ms;
    used_ms = cpu_ms();
    // If this thread cannot run either, a worker without progress is not a sign of a wedge.
    if (late_ms > wedge_check_ms) return;
    const is_starved = used_ms - before_ms < (wedge_check_ms + late_ms) / 2;
    if (!is_starved || ++starved % STARVED_CHECKS === 0) replaceWedged(pool());
  }

  function end(): void {
    clearInterval(timer);
    timer = undefined;
  }

  function tick(): void {
    const now_ms = now();
    forgive(now_ms - next_tick_ms);
    next_tick_ms = now_ms + tick_ms;
    refuseStalled(now_ms);
    const late_ms = now_ms - next_check_ms;
    if (late_ms >= 0) {
      next_check_ms = now_ms + wedge_check_ms;
      checkWorkers(late_ms);
    }
    if (pool().lanes.pending === 0) end();
  }

  return {
    /** Starts the checks, which end when there is no work. */
    begin() {
      if (timer !== undefined) return;
      const now_ms = now();
      next_tick_ms = now_ms + tick_ms;
      next_check_ms = now_ms + wedge_check_ms;
      used_ms = cpu_ms();
      timer = setInterval(tick, tick_ms);
      Deno.unrefTimer(timer);
    },
    end,
  };
}

const fuelOf = ({ fuel, instance_fuel }: PolicyOutcome): number => fuel + instance_fuel;
const addEnforced = (sum: number, ran: PolicyOutcome): number =>
  ran.mode === "enforce" ? sum + fuelOf(ran) : sum;
const addObserved = (sum: number, ran: PolicyOutcome): number =>
  ran.mode === "observe" ? sum + fuelOf(ran) : sum;

/**
 * The verdict of a chain that has run, on any thread; `skipped` are the outcomes of policies that could not run. A
 * reply without outcomes is recorded like any other, but its verdict must not be used.
 */
function verdictIn(
  { gate, metrics, chain_fuel_limit }: State,
  asking: Asking,
  chain: readonly ChainEntry[],
  reply: WorkerReply,
  skipped: readonly PolicyOutcome[],
  now_ms: number,
): Verdict {
  const outcomes = gate.learn(asking, chain, reply, now_ms);
  const most = Math.max(outcomes.reduce(addEnforced, 0), outcomes.reduce(addObserved, 0));
  if (outcomes.length > 0) metrics.chain(most / chain_fuel_limit);
  for (const one of skipped) outcomes.push(one);
  const { added_headers, payload } = reply;
  return verdictOf(outcomes, { added_headers, payload, logs: namedLogs(chain, reply.logs) });
}

// Reports verdicts to their callers: all verdicts of one task together, after the task. A verdict may be given while
// others are being passed on, and its caller must not send the next request then.

type Decided = Pick<Job, "receiver" | "verdict">;

/** The verdicts that are not reported yet. */
export class Verdicts {
  #jobs: Decided[] = [];

  add(job: Decided): void {
    if (this.#jobs.push(job) === 1) queueMicrotask(this.#tell);
  }

  readonly #tell = (): void => {
    const jobs = this.#jobs;
    this.#jobs = [];
    for (const { receiver, verdict } of jobs) {
      try {
        receiver.onVerdict(verdict!);
      } catch (error) {
        // The error belongs to one caller: the others get their verdicts, and the process reports the error.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  };
}

/** Makes a counter of wedges. It returns true when the limit is reached, and again only after some are forgotten. */
function createWedgeCount({ most, memory_ms }: typeof WEDGES): (now_ms: number) => boolean {
  let times: number[] = [];
  return (now_ms) => {
    times = times.filter((at_ms) => now_ms - at_ms < memory_ms);
    return times.push(now_ms) === most;
  };
}
