/**
 * Where a tenant's jobs go when tenants share workers: to the workers that all share or, while the
 * tenant's chains run long, to the one for such tenants. A move keeps the order of each connection:
 * waiting jobs go along, and none begins at the new place while one is under way at the old.
 */
import type { Job, Lane } from "./pool_lane.ts";
import { createPace } from "../../../shared/rates/pace.ts";

/** The lanes between which tenants move. */
export interface HomesOptions {
  /** Monotonic ms. */
  readonly now: () => number;
  readonly all: () => Iterable<Lane>;
  readonly shared: () => readonly Lane[];
  /** The lane that the job's connection shares. */
  readonly sharedOf: (job: Job) => Lane | undefined;
  /** The lane of slow tenants, which is made when it is first asked for. */
  readonly slow: () => Lane;
  /** Refuses a job that finds no room at the new place. */
  readonly refuse: (job: Job) => void;
}

/** Which lane the jobs of each tenant go to. */
export interface Homes {
  laneOf(job: Job): Lane | undefined;
  /** Whether jobs of the tenant may go to its worker now. */
  mayGo(tenant_id: string): boolean;
  /** Takes note that a chain of the tenant has run long. */
  long(tenant_id: string): void;
  /** Takes note that a job has left its lane: jobs that waited for that at another may go. */
  left(tenant_id: string): void;
  /** How many tenants' jobs go to the lane of slow ones. */
  readonly slow_tenants: number;
}

/** Makes the homes; at first every tenant is with the shared lanes. */
export function createHomes(options: HomesOptions): Homes {
  const pace = createPace();
  const slow = new Set<string>();
  /** The lanes where a tenant's older jobs may be under way. */
  const moving = new Map<string, readonly Lane[]>();
  let will_pump = false;

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

  /** Moves the tenant when it is not where it belongs and not already on its way. */
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

  /** Pumps in a turn of its own, as a lane may be in the middle of handing over. */
  function pumpLater(): void {
    if (will_pump) return;
    will_pump = true;
    queueMicrotask(() => {
      will_pump = false;
      for (const lane of options.all()) lane.pump();
    });
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
      if (moving.has(tenant_id)) pumpLater();
    },
    get slow_tenants() {
      return slow.size;
    },
  };
}
