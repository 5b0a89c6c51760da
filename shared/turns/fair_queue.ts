/**
 * A queue of work that tenants share: they take turns, and each may hold a share of the running and of the waiting work
 * (`fair_bound.ts`). So nobody's work waits behind all the work of another tenant.
 */
import { FairBound } from "./fair_bound.ts";

interface FairQueueOptions {
  readonly running_max: number;
  readonly waiting_max: number;
  /** The most that waits of one tenant; absent: its share. */
  readonly tenant_waiting_max?: number;
  /** How long work waits for its turn; absent: until it comes. */
  readonly wait_ms?: number;
}

/** A queue of work; it cannot be closed, because work that began has to end anyway. */
export class FairQueue {
  readonly #options: FairQueueOptions;
  readonly #running: FairBound;
  readonly #waiting: FairBound;
  /** What waits of each tenant, oldest first; the tenants are in round-robin order. */
  readonly #queues = new Map<string, Set<() => void>>();
  /** How much was refused since the start. */
  refused = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
    this.#running = new FairBound(options.running_max);
    this.#waiting = new FairBound(options.waiting_max);
  }

  get running(): number {
    return this.#running.total;
  }

  get waiting(): number {
    return this.#waiting.total;
  }

  /** The result or error of the work, in its tenant's turn; rejects with `refusal` if too much waits. */
  async run<T>(tenant_id: string, work: () => Promise<T>, refusal: () => Error): Promise<T> {
    const leave = await this.enter(tenant_id, refusal);
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** Resolves in the tenant's turn to what ends it; call that once. Rejects with `refusal` if too much waits. */
  async enter(tenant_id: string, refusal: () => Error): Promise<() => void> {
    // If the tenant may go on, nothing of its own waits.
    if (!this.#running.take(tenant_id)) await this.#turn(tenant_id, refusal);
    return () => {
      this.#running.add(tenant_id, -1);
      this.#next();
    };
  }

  async #turn(tenant_id: string, refusal: () => Error): Promise<void> {
    const { tenant_waiting_max = Infinity, wait_ms } = this.#options;
    const refuse = (): Error => {
      this.refused++;
      return refusal();
    };
    const is_full = this.#waiting.of(tenant_id) >= tenant_waiting_max;
    if (is_full || !this.#waiting.take(tenant_id)) throw refuse();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const queue = this.#queues.get(tenant_id) ?? new Set();
    this.#queues.set(tenant_id, queue.add(resolve));
    // Work whose turn has come meanwhile no longer waits.
    const giveUp = () => void (this.#remove(tenant_id, queue, resolve) && reject(refuse()));
    const timer = wait_ms === undefined ? undefined : setTimeout(giveUp, wait_ms);
    await promise.finally(() => clearTimeout(timer));
  }

  #remove(tenant_id: string, queue: Set<() => void>, begin: () => void): boolean {
    if (!queue.delete(begin)) return false;
    this.#waiting.add(tenant_id, -1);
    if (queue.size === 0) this.#queues.delete(tenant_id);
    return true;
  }

  /** Begins what may run; a tenant whose turn it was goes behind all others. */
  #next(): void {
    for (const [tenant_id, queue] of this.#queues) {
      if (this.running >= this.#options.running_max) return;
      const [begin] = queue;
      if (begin === undefined || !this.#running.take(tenant_id)) continue;
      this.#queues.delete(tenant_id);
      this.#queues.set(tenant_id, queue);
      this.#remove(tenant_id, queue, begin);
      begin();
    }
  }
}
