/**
 * Limits the concurrent requests that read stored ledgers, since each keeps its data until it is answered. The others
 * wait, for a limited time. `former_ledgers.ts` reads.
 */
import { ArqonError } from "@arqon/proto";
import { type Registry, scraped } from "../../shared/metrics/metrics.ts";

/** The most waiting requests; more would wait in vain. */
const WAITING_MAX = 64;
const RETRY_MS = 1_000;

/** The limits, by their keys in `[ledger]`. */
interface ReadBounds {
  /** The most requests that read at a time. */
  readonly store_reads: number;
  /** How long a request waits for its turn, in ms. */
  readonly store_wait_ms: number;
}

/** The turns of one process. */
export class StoreReads {
  readonly #bounds: ReadBounds;
  /** The waiting requests, first in first out: each starts when it is called. */
  readonly #waiting = new Set<() => void>();
  #under_way = 0;
  refused = 0;

  constructor(bounds: ReadBounds) {
    this.#bounds = bounds;
  }

  /** The number of running and waiting requests. */
  get under_way(): number {
    return this.#under_way;
  }
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves in the request's turn to a function that ends the turn; call it once. Rejects with `too-many-pending`
   * (429) after a timeout, or if too many wait.
   */
  async enter(): Promise<() => void> {
    const { store_reads, store_wait_ms } = this.#bounds;
    if (this.#under_way < store_reads) this.#under_way++;
    else if (this.#waiting.size >= WAITING_MAX) throw this.#refusal();
    else await this.#turn(store_wait_ms);
    return () => this.#leave();
  }

  async #turn(wait_ms: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    const timer = setTimeout(() => {
      // A read whose turn has started meanwhile is no longer waiting.
      if (this.#waiting.delete(resolve)) reject(this.#refusal());
    }, wait_ms);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Gives the turn to the first waiting request. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#under_way--;
      return;
    }
    this.#waiting.delete(next);
    next();
  }

  #refusal(): ArqonError {
    this.refused++;
    const { store_reads } = this.#bounds;
    const detail = `${store_reads} requests read stored ledgers already (ledger.store_reads)`;
    return new ArqonError("too-many-pending", detail, { retry_after_ms: RETRY_MS });
  }
}

/** Registers running, waiting and refused reads. */
export function registerReads(registry: Registry, reads: StoreReads): void {
  scraped(registry, {
    "shield_ledger_reads": ["Requests that are reading stored ledgers.", () => reads.under_way],
    "shield_ledger_reads_waiting": [
      "Requests that wait for their turn to read stored ledgers.",
      () => reads.waiting,
    ],
    "shield_ledger_reads_refused_total": [
      "Requests that were refused because too many read stored ledgers.",
      () => reads.refused,
    ],
  });
}
