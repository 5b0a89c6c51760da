/**
 * Which worker serves which job: shared workers by connection, with one more for tenants whose chains run long, or one
 * worker for each tenant. A connection stays at its worker, or moves in a way that keeps the order of its operations.
 * Chains with keyed state go by their first key instead, so that calls that share it find it where it is.
 */
import type { Config } from "../../../shared/config/schema.ts";
import { createLane, type Job, type Lane, type LaneOptions } from "./pool_lane.ts";
import { startPolicyWorker } from "./pool_worker.ts";
import type { WorkerReply } from "../ring/ring_words.ts";
import type { RunnableModule } from "../ring/worker_protocol.ts";
import { fnvText } from "../../../shared/fnv.ts";
import { createPace } from "../../../shared/rates/pace.ts";

/** The dependencies and settings of the lanes. */
export interface LanesOptions extends Pick<LaneOptions, "admit" | "refuse" | "holds"> {
  readonly onReply: (job: Job, reply: WorkerReply, now_ms: number) => void;
  readonly policy: Config["policy"];
  readonly fuel_limit: number;
  readonly chain_fuel_limit: number;
  readonly cores: number;
  readonly now: () => number;
  /** The loaded modules by number; live. */
  readonly modules: ReadonlyMap<number, RunnableModule>;
  /** Called when a worker died; returns whether another one takes its place. */
  readonly onCrash: (module: number, detail: string) => boolean;
}

/** The workers of a pool. */
export interface Lanes {
  push(job: Job): void;
  load(module: number, runnable: RunnableModule): void;
  unload(module: number): void;
  /** Sends the jobs that may go, at the end of this turn. */
  pumpLater(): void;
  /**
   * Checks every worker's progress, and replaces those without progress for `checks` calls in a row. Returns the
   * modules that they ran (0: none).
   */
  replaceStuck(checks: number): number[];
  ready(): Promise<unknown>;
  readonly size: number;
  /** The number of tenants that share a worker because their chains run long. */
  readonly slow_tenants: number;
  /** The number of jobs that wait or run. */
  readonly pending: number;
  end(): void;
}

/** The most workers of tenants with `isolation = "tenant"`. */
const TENANT_LANES = 64;
/** The key of the slow tenants' worker. */
const SLOW = -1;
/** A worker blocks for a reply that does not fit. Log lines, headers, state and a payload together fit. */
const MIN_RING_BYTES = 2_097_152;

type LaneKey = string | number;

/** Makes lanes. Each gets its worker's share of the pool's limits, and the handler of crashes. */
function laneFactory(
  options: LanesOptions,
  workers: number,
  lanes: Map<LaneKey, Lane>,
  homes: () => Homes | undefined,
) {
  const { policy, fuel_limit, chain_fuel_limit, now, admit, holds } = options;
  const instances = Math.max(Math.floor(policy.instances / workers), 1);
  const ring_bytes = Math.max(MIN_RING_BYTES, policy.payload_bytes * 4);
  const limits = { ring_bytes, instances, fuel_limit, chain_fuel_limit, now };
  return (key: LaneKey): Lane => {
    const lane: Lane = createLane({
      start: (own) => startPolicyWorker({ ...limits, ...own }),
      queue_messages: policy.queue_messages,
      admit,
      holds,
      mayGo: (tenant_id) => homes()?.mayGo(tenant_id) ?? true,
      refuse(job, fault) {
        options.refuse(job, fault);
        homes()?.left(job.request.tenant_id);
      },
      onReply(job, reply, was_long, now_ms) {
        options.onReply(job, reply, now_ms);
        const { tenant_id } = job.request;
        if (was_long) homes()?.long(tenant_id);
        homes()?.left(tenant_id);
      },
      onCrash(module, detail) {
        if (options.onCrash(module, detail)) return lane.replace();
        lanes.delete(key);
        lane.end();
      },
    }, options.modules);
    lanes.set(key, lane);
    return lane;
  };
}

/**
 * The tenant's own lane. `lanes` is in the order of use; an idle lane of another tenant is replaced. Undefined if all
 * are busy.
 */
function tenantLane(
  lanes: Map<LaneKey, Lane>,
  tenant_id: string,
  create: (key: LaneKey) => Lane,
): Lane | undefined {
  const known = lanes.get(tenant_id);
  if (known !== undefined) {
    lanes.delete(tenant_id);
    lanes.set(tenant_id, known);
    return known;
  }
  if (lanes.size >= TENANT_LANES) {
    const idle = [...lanes].find(([, lane]) => lane.size === 0);
    if (idle === undefined) return undefined;
    lanes.delete(idle[0]);
    idle[1].end();
  }
  return create(tenant_id);
}

/** Makes the shared workers for connections, and one for slow tenants once there are some. */
function sharedHomes(
  options: LanesOptions,
  count: number,
  lanes: Map<LaneKey, Lane>,
  create: (key: LaneKey) => Lane,
  pumpLater: () => void,
): Homes {
  /** The last home and its lane: a connection mostly sends several messages in a row. */
  const last = { home: "", index: -1 };
  return createHomes({
    now: options.now,
    pumpLater,
    shared: () => [...lanes].flatMap(([key, lane]) => key === SLOW ? [] : lane),
    sharedOf: ({ request, state }) => {
      // Calls that share a key mostly share a worker, and then do not wait for another worker.
      const home = state === undefined ? request.connection_id : state.first;
      if (last.index < 0 || last.home !== home) {
        last.home = home;
        last.index = (fnvText(home) >>> 0) % count;
      }
      return lanes.get(last.index);
    },
    slow: () => lanes.get(SLOW) ?? create(SLOW),
    refuse: (job) => options.refuse(job, "queue-full"),
  });
}

/** Makes a function that runs `act` after the present task, once however often it is called. */
function onceATurn(act: () => void): () => void {
  let will_act = false;
  return () => {
    if (will_act) return;
    will_act = true;
    queueMicrotask(() => {
      will_act = false;
      act();
    });
  };
}

/** Starts the shared workers; those of tenants, and of slow ones, start with their first request. */
export function createLanes(options: LanesOptions): Lanes {
  const { policy } = options;
  const shared = policy.isolation === "shared";
  const count = policy.workers ?? Math.max(options.cores - 1, 1);
  const lanes = new Map<LaneKey, Lane>();
  const pumpLater = onceATurn(() => lanes.forEach((lane) => lane.pump()));
  const create = laneFactory(options, shared ? count + 1 : TENANT_LANES, lanes, () => homes);
  const homes = shared ? sharedHomes(options, count, lanes, create, pumpLater) : undefined;
  for (let index = 0; shared && index < count; index++) create(index);
  return {
    pumpLater,
    push(job) {
      const lane = homes === undefined
        ? tenantLane(lanes, job.request.tenant_id, create)
        : homes.laneOf(job);
      if (lane === undefined) options.refuse(job, "queue-full");
      else lane.push(job, job.began_ms);
    },
    get slow_tenants() {
      return homes?.slow_tenants ?? 0;
    },
    load: (module, runnable) => lanes.forEach((lane) => lane.load(module, runnable)),
    unload: (module) => lanes.forEach((lane) => lane.unload(module)),
    replaceStuck(checks) {
      const running: number[] = [];
      for (const lane of lanes.values()) {
        const module = lane.stuck(checks);
        if (module === undefined) continue;
        running.push(module);
        lane.replace();
      }
      return running;
    },
    ready: () => Promise.all([...lanes.values()].map((lane) => lane.ready)),
    get size() {
      return lanes.size;
    },
    get pending() {
      return [...lanes.values()].reduce((sum, lane) => sum + lane.size, 0);
    },
    end() {
      for (const lane of lanes.values()) lane.end();
      lanes.clear();
    },
  };
}

// The workers of a tenant's jobs when tenants share workers: the shared ones or, while the tenant's chains run long,
// the one for such tenants. A move keeps the order of each connection: waiting jobs move along, and none begins at the
// new worker while one runs at the old one.

/** The lanes between which tenants move. */
interface HomesOptions {
  /** Monotonic ms. */
  readonly now: () => number;
  /** Sends the jobs that may go, in a turn of its own: a lane may be sending now. */
  readonly pumpLater: () => void;
  readonly shared: () => readonly Lane[];
  readonly sharedOf: (job: Job) => Lane | undefined;
  /** The lane of slow tenants, which is made at its first use. */
  readonly slow: () => Lane;
  /** Refuses a job for which the new lane has no room. */
  readonly refuse: (job: Job) => void;
}

/** The lane of each tenant's jobs. */
interface Homes {
  laneOf(job: Job): Lane | undefined;
  /** Whether jobs of the tenant may go to its worker now. */
  mayGo(tenant_id: string): boolean;
  /** Records that a chain of the tenant has run long. */
  long(tenant_id: string): void;
  /** Records that a job has left its lane: jobs that waited for it at another lane may go. */
  left(tenant_id: string): void;
  /** The number of tenants in the lane of slow ones. */
  readonly slow_tenants: number;
}

/** Makes the homes; at first every tenant uses the shared lanes. */
function createHomes(options: HomesOptions): Homes {
  const pace = createPace();
  const slow = new Set<string>();
  /** The lanes where a tenant's older jobs may still run. */
  const moving = new Map<string, readonly Lane[]>();

  function isMoving(tenant_id: string): boolean {
    const from = moving.get(tenant_id);
    if (from === undefined) return false;
    if (from.some((lane) => lane.underWay(tenant_id) > 0)) return true;
    moving.delete(tenant_id);
    return false;
  }

  function laneOf(job: Job): Lane | undefined {
    return slow.has(job.request.tenant_id) ? options.slow() : options.sharedOf(job);
  }

  function move(tenant_id: string, from: readonly Lane[]): void {
    moving.set(tenant_id, from);
    const waiting = from.flatMap((lane) => lane.takeBack(tenant_id));
    for (const job of waiting) {
      const lane = laneOf(job);
      if (lane === undefined) options.refuse(job);
      else lane.push(job);
    }
  }

  /** Moves the tenant if it is not in its lane and not already moving. */
  function settle(tenant_id: string, now_ms = options.now()): void {
    const belongs = pace.isSlow(tenant_id, now_ms);
    if (belongs === slow.has(tenant_id) || isMoving(tenant_id)) return;
    if (belongs) {
      slow.add(tenant_id);
      move(tenant_id, options.shared());
    } else {
      slow.delete(tenant_id);
      move(tenant_id, [options.slow()]);
    }
  }

  return {
    laneOf(job) {
      settle(job.request.tenant_id, job.began_ms);
      return laneOf(job);
    },
    mayGo: (tenant_id) => moving.size === 0 || !isMoving(tenant_id),
    long(tenant_id) {
      pace.long(tenant_id, options.now());
      settle(tenant_id);
    },
    left(tenant_id) {
      if (moving.has(tenant_id)) options.pumpLater();
    },
    get slow_tenants() {
      return slow.size;
    },
  };
}
