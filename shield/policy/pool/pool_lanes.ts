/**
 * Which worker serves which job: shared workers by connection, with one more for tenants whose chains run long, or one
 * worker for each tenant. A connection stays at its worker, or moves in a way that keeps the order of its operations:
 * waiting jobs move along, and none begins at the new worker while one runs at the old one. Chains with keyed state go
 * by their first key instead, so that calls that share it find it where it is.
 */
import type { Config } from "../../../shared/config/schema.ts";
import { Lane, PolicyWorker } from "./pool_lane.ts";
import type { Job, LaneOptions, PolicyWorkerOptions } from "./pool_lane.ts";
import type { WorkerReply } from "../ring/ring_words.ts";
import type { RunnableModule } from "../ring/worker_protocol.ts";
import { fnvText } from "../../../shared/fnv.ts";
import { createPace } from "../../../shared/rates/pace.ts";

/** The dependencies and settings of the lanes. */
interface LanesOptions extends Pick<LaneOptions, "admit" | "refuse" | "holds"> {
  readonly onReply: (job: Job, reply: WorkerReply, now_ms: number) => void;
  readonly policy: Config["policy"];
  readonly fuel_limit: number;
  readonly chain_fuel_limit: number;
  readonly cores: number;
  /** Monotonic ms. */
  readonly now: () => number;
  /** The loaded modules by number; live. */
  readonly modules: ReadonlyMap<number, RunnableModule>;
  /** Called when a worker died; returns whether another one takes its place. */
  readonly onCrash: (module: number, detail: string) => boolean;
}

/** The most workers of tenants with `isolation = "tenant"`. */
const TENANT_LANES = 64;
/** The key of the slow tenants' worker. */
const SLOW = -1;
/** A worker blocks for a reply that does not fit. Log lines, headers, state and a payload together fit. */
const MIN_RING_BYTES = 2_097_152;

/** A tenant, or the number of a shared worker. */
type LaneKey = string | number;

/** The workers of a pool. */
export class Lanes {
  readonly #options: LanesOptions;
  /** The number of shared workers; 0: each tenant has its own. */
  readonly #shared: number;
  readonly #limits: Omit<PolicyWorkerOptions, "onReply" | "onDrained" | "onCrash">;
  /** The lanes of tenants are in the order of use. */
  readonly #lanes = new Map<LaneKey, Lane>();
  readonly #pace = createPace();
  readonly #slow = new Set<string>();
  /** The lanes where a tenant's older jobs may still run. */
  readonly #moving = new Map<string, readonly Lane[]>();
  /** The last home and its lane: a connection mostly sends several messages in a row. */
  readonly #last = { home: "", index: -1 };
  #will_pump = false;

  /** Starts the shared workers; those of tenants, and of slow ones, start with their first request. */
  constructor(options: LanesOptions) {
    const { policy, fuel_limit, chain_fuel_limit, cores, now } = options;
    this.#options = options;
    const shared = policy.workers ?? Math.max(cores - 1, 1);
    this.#shared = policy.isolation === "shared" ? shared : 0;
    const workers = this.#shared === 0 ? TENANT_LANES : this.#shared + 1;
    const instances = Math.max(Math.floor(policy.instances / workers), 1);
    const ring_bytes = Math.max(MIN_RING_BYTES, policy.payload_bytes * 4);
    this.#limits = { ring_bytes, instances, fuel_limit, chain_fuel_limit, now };
    for (let index = 0; index < this.#shared; index++) this.#create(index);
  }

  get size(): number {
    return this.#lanes.size;
  }

  /** The number of tenants that share a worker because their chains run long. */
  get slow_tenants(): number {
    return this.#slow.size;
  }

  /** The number of jobs that wait or run. */
  get pending(): number {
    return [...this.#lanes.values()].reduce((sum, lane) => sum + lane.size, 0);
  }

  ready(): Promise<unknown> {
    return Promise.all([...this.#lanes.values()].map((lane) => lane.ready));
  }

  push(job: Job): void {
    const { tenant_id } = job.request;
    if (this.#shared > 0) this.#settle(tenant_id, job.began_ms);
    const lane = this.#shared > 0 ? this.#laneOf(job) : this.#tenantLane(tenant_id);
    if (lane === undefined) this.#options.refuse(job, "queue-full");
    else lane.push(job, job.began_ms);
  }

  load(module: number, runnable: RunnableModule): void {
    for (const lane of this.#lanes.values()) lane.load(module, runnable);
  }

  unload(module: number): void {
    for (const lane of this.#lanes.values()) lane.unload(module);
  }

  /** Sends the jobs that may go, after the present task, in which a lane may be sending. */
  pumpLater(): void {
    if (this.#will_pump) return;
    this.#will_pump = true;
    queueMicrotask(() => {
      this.#will_pump = false;
      for (const lane of this.#lanes.values()) lane.pump();
    });
  }

  /**
   * Checks every worker's progress, and replaces those without progress for `checks` calls in a row. Returns the
   * modules that they ran (0: none).
   */
  replaceStuck(checks: number): number[] {
    const running: number[] = [];
    for (const lane of this.#lanes.values()) {
      const module = lane.stuck(checks);
      if (module === undefined) continue;
      running.push(module);
      lane.replace();
    }
    return running;
  }

  end(): void {
    for (const lane of this.#lanes.values()) lane.end();
    this.#lanes.clear();
  }

  #create(key: LaneKey): Lane {
    const { policy, admit, holds, modules } = this.#options;
    const lane: Lane = new Lane({
      start: (own) => new PolicyWorker({ ...this.#limits, ...own }),
      queue_messages: policy.queue_messages,
      admit,
      holds,
      mayGo: (tenant_id) => this.#moving.size === 0 || !this.#isMoving(tenant_id),
      refuse: (job, fault) => {
        this.#options.refuse(job, fault);
        this.#left(job.request.tenant_id);
      },
      onReply: (job, reply, was_long, now_ms) => {
        this.#options.onReply(job, reply, now_ms);
        const { tenant_id } = job.request;
        if (was_long && this.#shared > 0) this.#ranLong(tenant_id);
        this.#left(tenant_id);
      },
      onCrash: (module, detail) => {
        if (this.#options.onCrash(module, detail)) return lane.replace();
        this.#lanes.delete(key);
        lane.end();
      },
    }, modules);
    this.#lanes.set(key, lane);
    return lane;
  }

  /** The tenant's own lane, instead of an idle one of another tenant; undefined if all are busy. */
  #tenantLane(tenant_id: string): Lane | undefined {
    const known = this.#lanes.get(tenant_id);
    if (known !== undefined) {
      this.#lanes.delete(tenant_id);
      this.#lanes.set(tenant_id, known);
      return known;
    }
    if (this.#lanes.size >= TENANT_LANES) {
      const idle = [...this.#lanes].find(([, lane]) => lane.size === 0);
      if (idle === undefined) return undefined;
      this.#lanes.delete(idle[0]);
      idle[1].end();
    }
    return this.#create(tenant_id);
  }

  /** The lane of a job when tenants share workers. */
  #laneOf({ request: { tenant_id, connection_id }, state }: Job): Lane | undefined {
    if (this.#slow.has(tenant_id)) return this.#slowLane();
    // Calls that share a key mostly share a worker, and then do not wait for another worker.
    const home = state === undefined ? connection_id : state.first;
    const last = this.#last;
    if (last.index < 0 || last.home !== home) {
      last.home = home;
      last.index = (fnvText(home) >>> 0) % this.#shared;
    }
    return this.#lanes.get(last.index);
  }

  /** The lane of slow tenants, which is made at its first use. */
  #slowLane(): Lane {
    return this.#lanes.get(SLOW) ?? this.#create(SLOW);
  }

  /** Moves the tenant if it is not in its lane and not already moving. */
  #settle(tenant_id: string, now_ms: number): void {
    const belongs = this.#pace.isSlow(tenant_id, now_ms);
    if (belongs === this.#slow.has(tenant_id) || this.#isMoving(tenant_id)) return;
    const shared = () => [...this.#lanes].flatMap(([key, lane]) => key === SLOW ? [] : lane);
    if (belongs) this.#slow.add(tenant_id);
    else this.#slow.delete(tenant_id);
    const from = belongs ? shared() : [this.#slowLane()];
    this.#moving.set(tenant_id, from);
    for (const job of from.flatMap((lane) => lane.takeBack(tenant_id))) {
      const lane = this.#laneOf(job);
      if (lane === undefined) this.#options.refuse(job, "queue-full");
      else lane.push(job);
    }
  }

  #isMoving(tenant_id: string): boolean {
    const from = this.#moving.get(tenant_id);
    if (from === undefined) return false;
    if (from.some((lane) => lane.underWay(tenant_id) > 0)) return true;
    this.#moving.delete(tenant_id);
    return false;
  }

  /** Records that a chain of the tenant has run long. */
  #ranLong(tenant_id: string): void {
    const now_ms = this.#options.now();
    this.#pace.long(tenant_id, now_ms);
    this.#settle(tenant_id, now_ms);
  }

  /** Records that a job has left its lane: jobs that waited for it at another lane may go. */
  #left(tenant_id: string): void {
    if (this.#moving.has(tenant_id)) this.pumpLater();
  }
}
