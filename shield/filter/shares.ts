/**
 * The shares of a Shield's time for filters and schema checks: one for each tenant, and slices of a turn for readers of
 * stored messages. A tenant that has exhausted its share cannot publish until its debt is repaid. Meanwhile its filters
 * withhold messages from other Shields, and its readers of stored messages wait.
 */
import { ArqonError } from "@arqon/proto";
import type { FilterShare } from "../../shared/filter/message_view.ts";
import { Turns } from "../../shared/turns/fair_turns.ts";
import { createFuelBuckets } from "../../shared/rates/fuel_bucket.ts";

/** Steps per second of one tenant on this Shield: half a second at most, and a tenth usually. */
const STEPS_PER_SECOND = 1_000_000;
/** A reader yields after this many steps: 2 ms at most. */
const SLICE_STEPS = 4_000;

/** The shares of all tenants of a process. */
export class FilterShares {
  readonly #buckets = createFuelBuckets(() => STEPS_PER_SECOND);
  /** One slice per turn. */
  readonly #turns = new Turns(1);
  readonly #now_ms: () => number;

  /** `now_ms`: monotonic. */
  constructor(now_ms: () => number) {
    this.#now_ms = now_ms;
  }

  /** The share of a tenant for filters on a message in one of its rooms. */
  of(tenant_id: string): FilterShare {
    return this.#buckets.has(tenant_id, this.#now_ms()) ? "room" : "none";
  }

  /** Charges a tenant for filters or checks of its messages. */
  spend(tenant_id: string, steps: number): void {
    if (steps > 0) this.#buckets.spend(tenant_id, steps, this.#now_ms());
  }

  /** Throws `rate-limited` while the tenant has exhausted its share. */
  require(tenant_id: string): void {
    if (this.#buckets.size === 0) return;
    const retry_after_ms = this.#buckets.wait(tenant_id, this.#now_ms());
    if (retry_after_ms === 0) return;
    const detail =
      "the filters and schemas of this tenant take more than their share of the Shield; " +
      `retry after ${retry_after_ms} ms`;
    throw new ArqonError("rate-limited", detail, { retry_after_ms });
  }

  /** Whether a reader of stored messages must yield after this many steps in this turn. */
  isOver(tenant_id: string, steps: number): boolean {
    return steps >= SLICE_STEPS || !this.#buckets.has(tenant_id, this.#now_ms());
  }

  /** Calls `resume` once, in the reader's turn, after its tenant's debt is repaid. It must not throw. */
  later(tenant_id: string, resume: () => void): void {
    const wait_ms = this.#buckets.wait(tenant_id, this.#now_ms());
    if (wait_ms === 0) this.#turns.wait(resume);
    else setTimeout(() => this.later(tenant_id, resume), wait_ms);
  }
}
