/**
 * Reads what one tenant has used in the present day and month, from the ledger that all Shields write. Reads
 * each stored minute once; those that run are read each time. What the answer means is `budget.ts`.
 */
import { turn } from "../../shared/turns/next_turn.ts";
import type { UsagePlace } from "../../shared/usage/place.ts";
import { CLOCKS_MS, readRunning, toldIn } from "./read.ts";
import { periodAt, type UsedCounts } from "./budget.ts";
import { DayTotals } from "./budget_totals.ts";

const PAGE_BLOCKS = 512;

/** The use of one tenant, as far as it has been read. */
export class TenantUsed {
  readonly #tenant_id: string;
  readonly #place: UsagePlace;
  #totals = new DayTotals();
  /** What came before is forgotten, Unix ms. */
  #begin_ms = 0;
  #after: number | undefined;

  constructor(tenant_id: string, place: UsagePlace) {
    this.#tenant_id = tenant_id;
    this.#place = place;
  }

  /**
   * Reads on, up to now (Unix ms). Rejects with `log-unavailable` or `spine-unavailable`; what was read stays
   * read.
   */
  async read(now_ms: number): Promise<UsedCounts> {
    const { begin_ms } = periodAt("month", now_ms);
    const tenant_id = this.#tenant_id;
    // A clock that was set back may be in the month before.
    if (begin_ms < this.#begin_ms) [this.#totals, this.#after] = [new DayTotals(), undefined];
    this.#begin_ms = begin_ms;
    // What runs is read first: once it is over, it is in the store by the time that is read.
    const running = await readRunning({ running: await this.#place.running() }, tenant_id);
    const store = await this.#place.store();
    for (;;) {
      const place = this.#after === undefined
        ? { from_ms: Math.max(0, begin_ms - CLOCKS_MS) }
        : { after: this.#after };
      const { blocks, is_end } = await store.read({ tenant_id, limit: PAGE_BLOCKS, ...place });
      for (const block of blocks) {
        const told = toldIn(block);
        if (told !== undefined) this.#totals.add(told);
      }
      this.#after = blocks.at(-1)?.cursor ?? this.#after;
      if (is_end || blocks.length === 0) break;
      await turn();
    }
    this.#totals.forget(begin_ms);
    const since = (per: "day" | "month") =>
      this.#totals.since(periodAt(per, now_ms).begin_ms, running);
    return { day: since("day"), month: since("month") };
  }
}
