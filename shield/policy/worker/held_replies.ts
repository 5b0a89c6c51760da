/**
 * Which replies wake the process. Waking it costs more than most chains, so replies to many requests are
 * reported together; but none waits for a chain that may run long, nor for many short ones. Knows no ring:
 * the replies are there already, only the signal for them is held back.
 */

/** The most replies that one signal reports. */
const HELD_MOST = 32;
/** How long a reply is held while others run, in ms. */
const HELD_MS = 0.25;
/** A chain is short up to this working time, in ms. */
const SHORT_MS = 0.1;
/**
 * So many chains of a tenant in a row must have been short before replies wait for its next one. If that
 * is a long one after all, it is one of many, and at most the fuel of a chain.
 */
const TRUSTED = 64;
/** The most tenants whose chains are counted; all are forgotten for one more. */
const TENANTS = 4_096;

/** The replies of a worker that the process was not notified of. */
export class HeldReplies {
  readonly #signal: () => void;
  /** How many chains of each tenant were short, since the last that was not. */
  readonly #short = new Map<string, number>();
  #count = 0;
  #since_ms = 0;

  /** `signal` wakes the process. */
  constructor(signal: () => void) {
    this.#signal = signal;
  }

  /** Reports what is held unless it may wait for a chain of the tenant, which is about to run. */
  before(tenant_id: string, now_ms: number): void {
    if (this.#count === 0) return;
    const may_wait = now_ms - this.#since_ms < HELD_MS && this.#count < HELD_MOST &&
      (this.#short.get(tenant_id) ?? 0) >= TRUSTED;
    if (!may_wait) this.tell();
  }

  /**
   * Holds one more reply of a chain that began at `now_ms`; its working time says how much the tenant
   * is trusted.
   */
  put(tenant_id: string, work_ms: number, now_ms: number): void {
    if (this.#count++ === 0) this.#since_ms = now_ms;
    const short = this.#short.get(tenant_id) ?? 0;
    if (work_ms > SHORT_MS) this.#short.delete(tenant_id);
    else if (short < TRUSTED) this.#trust(tenant_id, short + 1);
  }

  /** Reports everything that is held. */
  tell(): void {
    if (this.#count === 0) return;
    this.#count = 0;
    this.#signal();
  }

  #trust(tenant_id: string, short: number): void {
    if (short === 1 && this.#short.size >= TENANTS) this.#short.clear();
    this.#short.set(tenant_id, short);
  }
}
