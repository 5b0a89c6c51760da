/**
 * Which worker serves whom: shared workers by connection, or one for each tenant. A connection stays
 * with its worker, so that its operations keep their order.
 */
import type { Config } from "../../shared/config/schema.ts";
import { createLane, type Job, type Lane, type LaneOptions } from "./pool_lane.ts";
import { startPolicyWorker } from "./pool_worker.ts";
import type { RunnableModule } from "./worker_protocol.ts";

/** What the lanes need. */
export interface LanesOptions extends Pick<LaneOptions, "admit" | "refuse" | "onReply"> {
  readonly policy: Config["policy"];
  readonly fuel_limit: number;
  readonly chain_fuel_limit: number;
  readonly cores: number;
  readonly now: () => number;
  /** Loaded modules; live. */
  readonly modules: ReadonlyMap<number, RunnableModule>;
  /** A worker died; answers whether another one is to take its place. */
  readonly onCrash: (module: number, detail: string) => boolean;
}

/** The workers of a pool. */
export interface Lanes {
  push(job: Job): void;
  load(module: number, runnable: RunnableModule): void;
  unload(module: number): void;
  /**
   * Looks at every worker's progress; those that made none for `checks` calls in a row are replaced.
   * Returns the modules that they ran (0: none).
   */
  replaceStuck(checks: number): number[];
  ready(): Promise<unknown>;
  readonly size: number;
  /** Jobs that wait or are under way. */
  readonly pending: number;
  end(): void;
}

/** Workers of tenants with `isolation = "tenant"`. */
const TENANT_LANES = 64;
const MIN_RING_BYTES = 1_048_576;

/** FNV-1a, to spread connections. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  return value >>> 0;
}

type LaneKey = string | number;

/** How a lane is made: its worker's share of the pool's limits, and what becomes of it in a crash. */
function laneFactory(options: LanesOptions, workers: number, lanes: Map<LaneKey, Lane>) {
  const { policy, fuel_limit, chain_fuel_limit, now, admit, refuse, onReply } = options;
  const instances = Math.max(Math.floor(policy.instances / workers), 1);
  const ring_bytes = Math.max(MIN_RING_BYTES, policy.payload_bytes * 4);
  const limits = { ring_bytes, instances, fuel_limit, chain_fuel_limit, now };
  return (key: LaneKey): Lane => {
    const lane: Lane = createLane({
      start: (own) => startPolicyWorker({ ...limits, ...own }),
      queue_messages: policy.queue_messages,
      admit,
      refuse,
      onReply,
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
 * The tenant's own lane, `lanes` being in the order of use; an idle one of another tenant makes room
 * for it. Undefined when all are busy.
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

/** Starts the shared workers; those of tenants start with their first request. */
export function createLanes(options: LanesOptions): Lanes {
  const { policy } = options;
  const shared = policy.isolation === "shared";
  const count = policy.workers ?? Math.max(options.cores - 1, 1);
  const lanes = new Map<LaneKey, Lane>();
  const create = laneFactory(options, shared ? count : TENANT_LANES, lanes);
  for (let index = 0; shared && index < count; index++) create(index);
  return {
    push(job) {
      const { tenant_id, connection_id } = job.request;
      const lane = shared
        ? lanes.get(hash(connection_id) % count)
        : tenantLane(lanes, tenant_id, create);
      if (lane === undefined) options.refuse(job, "queue-full");
      else lane.push(job);
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
