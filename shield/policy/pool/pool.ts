/**
 * The policy pool: it takes a request with its chain, and returns the chain's verdict. `registry.ts` selects the chain;
 * a message without a chain never comes here.
 */
import type { Env } from "../../../shared/env.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { SequenceTable } from "../../../shared/containers/sequence_table.ts";
import type { EvaluateRequest } from "../abi/policy.ts";
import type { PolicyFault, PolicyOutcome, Verdict } from "../../../shared/records/verdict.ts";
import { PolicyMetrics } from "./policy_metrics.ts";
import { ChainGate, faultVerdict, namedLogs, verdictOf, withSeen } from "./chain_gate.ts";
import { InlineTier } from "./inline_tier.ts";
import { type Job, newJob, type VerdictReceiver } from "./pool_lane.ts";
import { Lanes } from "./pool_lanes.ts";
import { type LoadableModule, Modules } from "./pool_modules.ts";
import { PoolState } from "./pool_state.ts";
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

/** The number of progress checks of a worker within `policy.wedge_ms`. */
const WEDGE_CHECKS = 4;
/**
 * The wedges within this time, or the deaths by internal errors at any time, after which the process gives up. Each
 * wedge puts its module into quarantine, so several wedges need several modules.
 */
const WEDGES = { most: 4, memory_ms: 600_000 };
const CRASHES = 8;
const NO_OUTCOMES: readonly PolicyOutcome[] = [];

/** A running pool. */
export class PolicyPool {
  readonly #options: PolicyPoolOptions;
  /** Jobs without a verdict, in the order of their deadlines, since all wait equally long. */
  readonly #waiting = new SequenceTable<Job>();
  readonly #verdicts = new Verdicts();
  readonly #modules: Modules;
  readonly #metrics: PolicyMetrics;
  readonly #gate: ChainGate;
  readonly #keyed: PoolState;
  readonly #lanes: Lanes;
  /** Absent if all chains run in workers. */
  readonly #tier: InlineTier | undefined;
  readonly #watch: Watch;
  /** The time of this turn's first request; undefined: there was none yet. */
  #turn_ms: number | undefined;
  /** When workers have wedged, of late. */
  #wedges: number[] = [];
  #crashes = 0;
  #last_crash = "";
  #replaced = 0;
  #closed = false;

  /** Starts the workers; `ready` follows. */
  constructor(options: PolicyPoolOptions) {
    const { policy, overseer, registry, now, quarantine } = options;
    this.#options = options;
    this.#metrics = new PolicyMetrics(registry, {
      pending: () => this.#waiting.size,
      workers: () => this.#lanes.size,
      slow_tenants: () => this.#lanes.slow_tenants,
      quarantined: () => quarantine.list().length,
      senders: () => this.#gate.breakers.senders,
      senders_dropped: () => this.#gate.breakers.senders_dropped,
    });
    const modules = this.#modules = new Modules({
      onLoad: (number, runnable) => {
        this.#tier?.load(number, runnable);
        this.#lanes.load(number, runnable);
      },
      onUnload: (number) => {
        this.#tier?.unload(number);
        this.#lanes.unload(number);
      },
    });
    const gate = this.#gate = new ChainGate({ ...options, modules });
    const keyed = this.#keyed = new PoolState(options, modules, () => this.#lanes.pumpLater());
    const charge = (tenant_id: string, fuel: number) => gate.charge(tenant_id, fuel);
    const onAgain = () => this.#metrics.ranInline("again");
    this.#tier = policy.inline_modules.length === 0
      ? undefined
      : new InlineTier({ policy, modules, keyed, now, charge, onAgain });
    this.#lanes = new Lanes({
      ...options,
      modules: modules.runnable,
      holds: keyed.holds,
      fuel_limit: overseer.fuel_limit,
      chain_fuel_limit: policy.chain_fuel_limit,
      admit: (job, now_ms) => this.#admit(job, now_ms),
      refuse: (job, fault) => this.#refuse(job, fault),
      onReply: (job, reply, now_ms) => this.#receive(job, reply, now_ms),
      onCrash: (module, detail) => this.#crashed(module, detail),
    });
    this.#watch = new Watch(options, {
      waiting: this.#waiting,
      hasWork: () => this.#lanes.pending > 0,
      refuse: (job) => this.#refuse(job, "stall"),
      replaceWedged: () => this.#replaceWedged(),
    });
  }

  /** Resolves when the workers are ready. Rejects if they do not start. */
  async ready(): Promise<void> {
    await this.#lanes.ready();
    if (this.#crashes === 0) return;
    this.close();
    throw new Error(`the policy workers do not start: ${this.#last_crash}`);
  }

  /**
   * The chain's verdict. Never rejects: every failure is a refusal with a `fault` in the outcome of the policy that
   * could not decide. Requests of one connection run in the order of its calls, those with keyed state in the order of
   * those that share a key.
   */
  evaluate(request: EvaluateRequest): Promise<Verdict> {
    return new Promise((onVerdict) => this.ask(request, { onVerdict }));
  }

  /**
   * Like `evaluate`, but calls the receiver once, never before it has returned. Verdicts that are found or made
   * together are reported in one turn.
   */
  ask(request: EvaluateRequest, receiver: VerdictReceiver): void {
    const { stall_ms, payload_bytes } = this.#options.policy;
    const job = newJob(request, this.#keyed.of(request), receiver, this.#turnTime(), stall_ms);
    job.number = this.#waiting.add(job);
    this.#tier?.sent(request.tenant_id);
    if (this.#closed) this.#refuse(job, "stall");
    else if (request.payload.length > payload_bytes) this.#refuse(job, "payload-too-large");
    else {
      this.#watch.begin();
      this.#lanes.push(job);
    }
  }

  /**
   * The chain's verdict if it gets one on this thread (`inline_tier.ts`); undefined if `evaluate` has to run it. Never
   * throws.
   */
  evaluateInline(request: EvaluateRequest): Verdict | undefined {
    const { policy, now } = this.#options;
    const tier = this.#tier;
    if (tier === undefined || this.#closed || request.payload.length > policy.payload_bytes) {
      return undefined;
    }
    const began_ms = now();
    const ran = this.#gate.isClear(request, began_ms) ? tier.run(request, began_ms) : undefined;
    if (ran === undefined) return undefined;
    const { chain, reply, ended_ms } = ran;
    const verdict = this.#verdictIn(request, chain, reply, NO_OUTCOMES, ended_ms);
    this.#metrics.ranInline("verdict");
    this.#count(verdict, ended_ms - began_ms);
    return withSeen(verdict, { request, chain }, reply, policy.inline_fuel);
  }

  /** Gives a module to every worker, unless it is in quarantine; then chains that name it are refused. */
  load(sha256: string, module: LoadableModule): void {
    if (!this.#options.quarantine.has(sha256)) this.#modules.load(sha256, module);
  }

  /**
   * Drops a module and its instances. Chains that still name it are refused (`missing-module`, or `wedge`
   * while it is in quarantine).
   */
  unload(sha256: string): void {
    if (this.#modules.unload(sha256)) this.#gate.breakers.forget(sha256);
  }

  /** As `Modules.isStateful`. */
  isStateful(sha256: string): boolean | undefined {
    return this.#modules.isStateful(sha256);
  }

  status(): PoolStatus {
    return {
      workers: this.#lanes.size,
      slow_tenants: this.#lanes.slow_tenants,
      pending: this.#waiting.size,
      modules: this.#modules.loaded(),
      quarantined: this.#options.quarantine.list().map(({ sha256 }) => sha256),
      workers_replaced: this.#replaced,
      open_breakers: this.#gate.breakers.open(),
    };
  }

  /** Refuses waiting requests, and ends the workers. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#keyed.end();
    this.#watch.end();
    this.#lanes.end();
    for (const job of this.#waiting.values()) this.#refuse(job, "stall");
  }

  /** The time, read once for the requests of a turn: reading it costs a tenth of what the pool does for one. */
  #turnTime(): number {
    if (this.#turn_ms === undefined) queueMicrotask(() => this.#turn_ms = undefined);
    return this.#turn_ms ??= this.#options.now();
  }

  #count(verdict: Verdict, duration_ms: number): void {
    this.#metrics.verdict(duration_ms);
    verdict.outcomes.forEach(this.#metrics.outcome);
    if (duration_ms > this.#options.policy.timeout_ms) this.#metrics.late();
  }

  /** Gives a job its verdict once; later verdicts are dropped. */
  #settle(job: Job, verdict: Verdict, now_ms = this.#options.now()): void {
    if (job.done) return;
    job.done = true;
    this.#keyed.holds.forget(job);
    this.#waiting.take(job.number);
    this.#tier?.settled(job.request.tenant_id);
    this.#count(verdict, now_ms - job.began_ms);
    job.verdict = verdict;
    this.#verdicts.add(job);
  }

  #refuse(job: Job, fault: PolicyFault): void {
    this.#settle(job, faultVerdict(job.request, fault));
  }

  #admit(job: Job, now_ms = this.#options.now()): readonly ChainEntry[] | undefined {
    const admission = this.#gate.admit(job.request, job.state, now_ms);
    if ("verdict" in admission) {
      this.#settle(job, admission.verdict);
      return undefined;
    }
    job.skipped = admission.skipped;
    return admission.chain;
  }

  /** Handles a worker's reply. A late one is charged too; only its verdict does not count. */
  #receive(job: Job, reply: WorkerReply, now_ms: number): void {
    this.#metrics.busy(reply.outcomes.reduce(addDuration, 0));
    this.#tier?.proved(job.chain, reply.outcomes);
    const verdict = this.#verdictIn(job.request, job.chain, reply, job.skipped, now_ms);
    const { fuel_limit } = this.#options.overseer;
    if (reply.expired === true) this.#refuse(job, "stall");
    else this.#settle(job, withSeen(verdict, job, reply, fuel_limit), now_ms);
  }

  /**
   * The verdict of a chain that has run, on any thread; `skipped` are the outcomes of policies that could not run. A
   * reply without outcomes is recorded like any other, but its verdict must not be used.
   */
  #verdictIn(
    asking: Asking,
    chain: readonly ChainEntry[],
    reply: WorkerReply,
    skipped: readonly PolicyOutcome[],
    now_ms: number,
  ): Verdict {
    const outcomes = this.#gate.learn(asking, chain, reply, now_ms);
    const most = Math.max(outcomes.reduce(addEnforced, 0), outcomes.reduce(addObserved, 0));
    if (outcomes.length > 0) this.#metrics.chain(most / this.#options.policy.chain_fuel_limit);
    for (const one of skipped) outcomes.push(one);
    const { added_headers, payload } = reply;
    return verdictOf(outcomes, { added_headers, payload, logs: namedLogs(chain, reply.logs) });
  }

  #replaceWedged(): void {
    const { most, memory_ms } = WEDGES;
    for (const module of this.#lanes.replaceStuck(WEDGE_CHECKS)) {
      this.#replaced++;
      this.#metrics.replaced();
      const detail = `a worker made no progress ${this.#blame(module, "wedge")}`;
      this.#options.log.error("policy worker wedged, replaced", { detail });
      const now_ms = this.#options.now();
      this.#wedges = this.#wedges.filter((at_ms) => now_ms - at_ms < memory_ms);
      // Further ones are no news before some are forgotten.
      if (this.#wedges.push(now_ms) !== most) continue;
      this.#options.onFatal(`${most} policy workers wedged within ${memory_ms / 60_000} minutes`);
    }
  }

  /** Puts the running module into quarantine on every node; returns a text for the place. */
  #blame(module: number, why: QuarantineCause): string {
    const sha256 = this.#modules.sha256(module);
    if (sha256 === undefined) return "outside of a module";
    this.unload(sha256);
    this.#options.quarantine.add(sha256, why);
    return `in module ${sha256}, which is quarantined`;
  }

  /** Records that a worker died. Returns true if another one has to start. */
  #crashed(module: number, detail: string): boolean {
    this.#last_crash = detail;
    this.#replaced++;
    this.#metrics.replaced();
    const where = this.#blame(module, "crash");
    this.#options.log.error("policy worker died", { detail: `${detail} (${where})` });
    if (++this.#crashes === CRASHES) this.#options.onFatal(`${CRASHES} policy workers died`);
    return this.#crashes < CRASHES && !this.#closed;
  }
}

const STALL_CHECKS = 10;
/** A check that is later than this, in ms, shows that the thread was blocked. */
const LATE_MS = 10;

/**
 * While this process has hardly a core, one in this many checks still counts: a worker may hang without using a core.
 */
const STARVED_CHECKS = 10;

/** What a watch needs of its pool. */
interface Watched {
  readonly waiting: SequenceTable<Job>;
  readonly hasWork: () => boolean;
  readonly refuse: (job: Job) => void;
  readonly replaceWedged: () => void;
}

/**
 * A watch over the jobs and workers of a pool. It checks while there is work. A worker without a core makes no progress
 * either, without its module's fault. So a check only counts if the process had at least half a core since the previous
 * one.
 */
class Watch {
  readonly #options: Pick<PolicyPoolOptions, "now" | "cpu_ms">;
  readonly #pool: Watched;
  readonly #wedge_check_ms: number;
  readonly #tick_ms: number;
  #timer: ReturnType<typeof setInterval> | undefined;
  #next_tick_ms = 0;
  #next_check_ms = 0;
  #used_ms = 0;
  #starved = 0;

  constructor(options: PolicyPoolOptions, pool: Watched) {
    const { stall_ms, wedge_ms } = options.policy;
    this.#options = options;
    this.#pool = pool;
    this.#wedge_check_ms = wedge_ms / WEDGE_CHECKS;
    this.#tick_ms = Math.max(1, Math.min(stall_ms / STALL_CHECKS, this.#wedge_check_ms));
  }

  /** Starts the checks, which end when there is no work. */
  begin(): void {
    if (this.#timer !== undefined) return;
    const now_ms = this.#options.now();
    this.#next_tick_ms = now_ms + this.#tick_ms;
    this.#next_check_ms = now_ms + this.#wedge_check_ms;
    this.#used_ms = this.#options.cpu_ms();
    this.#timer = setInterval(() => this.#tick(), this.#tick_ms);
    Deno.unrefTimer(this.#timer);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const now_ms = this.#options.now();
    this.#forgive(now_ms - this.#next_tick_ms);
    this.#next_tick_ms = now_ms + this.#tick_ms;
    this.#refuseStalled(now_ms);
    const late_ms = now_ms - this.#next_check_ms;
    if (late_ms >= 0) {
      this.#next_check_ms = now_ms + this.#wedge_check_ms;
      this.#checkWorkers(late_ms);
    }
    if (!this.#pool.hasWork()) this.end();
  }

  /**
   * Moves deadlines by the time in which this thread could not run: verdicts may wait to be read, and otherwise all of
   * them would be refused in the first turn after a long garbage collection.
   */
  #forgive(late_ms: number): void {
    if (late_ms < LATE_MS) return;
    for (const job of this.#pool.waiting.values()) job.deadline_ms += late_ms;
  }

  #refuseStalled(now_ms: number): void {
    for (const job of this.#pool.waiting.values()) {
      if (job.deadline_ms > now_ms) return;
      this.#pool.refuse(job);
    }
  }

  #checkWorkers(late_ms: number): void {
    const before_ms = this.#used_ms;
    this.#used_ms = this.#options.cpu_ms();
    // If this thread cannot run either, a worker without progress is not a sign of a wedge.
    if (late_ms > this.#wedge_check_ms) return;
    const is_starved = this.#used_ms - before_ms < (this.#wedge_check_ms + late_ms) / 2;
    if (!is_starved || ++this.#starved % STARVED_CHECKS === 0) this.#pool.replaceWedged();
  }
}

const fuelOf = ({ fuel, instance_fuel }: PolicyOutcome): number => fuel + instance_fuel;
const addEnforced = (sum: number, ran: PolicyOutcome): number =>
  ran.mode === "enforce" ? sum + fuelOf(ran) : sum;
const addObserved = (sum: number, ran: PolicyOutcome): number =>
  ran.mode === "observe" ? sum + fuelOf(ran) : sum;

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
