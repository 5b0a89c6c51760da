/**
 * Reads the usage of one tenant in the current day and month from the ledger of all Shields. Each stored minute is read
 * once; running ones each time. Minutes that were read may be folded later: their fold adds nothing. `budget.ts`
 * interprets the result.
 */
import type { BlockStore, StoredBlock } from "../spine/contract/block_store.ts";
import { isOtherStore, type LastBlock, readBlocks, takenBlock } from "../blocks/read_blocks.ts";
import { slice } from "../turns/slices.ts";
import { decodeFold, foldedBy } from "./fold.ts";
import { CLOCKS_MS, minuteIn, type NodeMinute, readRunning, readStoredUse } from "./stored_use.ts";
import { ERASED, type UsageStores } from "./usage_stores.ts";
import { periodAt, type UsedCounts } from "./budget.ts";
import { DayTotals } from "./budget_totals.ts";

const PAGE_BLOCKS = 512;
const STALE_MS = 60_000;

const erasedAt = ({ node_id, life_ms }: NodeMinute): number => node_id === ERASED ? life_ms : 0;

/** The usage of one tenant, as far as it was read. */
export class TenantUsed {
  readonly #tenant_id: string;
  readonly #place: UsageStores;
  #totals = new DayTotals();
  /** Earlier usage is dropped, Unix ms. */
  #begin_ms = 0;
  #last: LastBlock | undefined;
  /** When the tenant was last erased, Unix ms; 0: never. */
  #erased_ms = 0;

  constructor(tenant_id: string, place: UsageStores) {
    this.#tenant_id = tenant_id;
    this.#place = place;
  }

  /** Reads on, up to now (Unix ms). Rejects with `log-unavailable` or `spine-unavailable`; what was read is kept. */
  async read(now_ms: number): Promise<UsedCounts> {
    const { begin_ms } = periodAt("month", now_ms);
    const tenant_id = this.#tenant_id;
    // Thousands of tenants are read one after the other.
    await slice(tenant_id);
    // A clock that was set back may be in the previous month.
    if (begin_ms < this.#begin_ms) [this.#totals, this.#last] = [new DayTotals(), undefined];
    this.#begin_ms = begin_ms;
    // Running minutes are read first: one that finishes meanwhile is in the store when that is read.
    const running = await readRunning({ running: await this.#place.running() }, tenant_id);
    const store = await this.#place.store();
    const erased_ms = Math.max(0, ...running.map(erasedAt));
    // For a while, a stale replica may still show what was erased.
    const is_anew = erased_ms > this.#erased_ms || Math.abs(now_ms - erased_ms) < STALE_MS;
    this.#erased_ms = erased_ms;
    if (is_anew || this.#last === undefined || !(await this.#readOn(store, this.#last))) {
      this.#last = undefined;
      const from_ms = Math.max(0, begin_ms - CLOCKS_MS);
      const all = await readStoredUse(store, tenant_id, from_ms, () => new DayTotals());
      [this.#totals, this.#last] = [all.sink, all.last];
    }
    this.#totals.forget(begin_ms);
    const usedIn = (per: "day" | "month") => this.#totals.in(periodAt(per, now_ms), running);
    return { day: usedIn("day"), month: usedIn("month"), is_anew };
  }

  /** Reads what follows that block. False: minutes were folded before they were read here, or it is another store. */
  async #readOn(store: BlockStore, from: LastBlock): Promise<boolean> {
    const tenant_id = this.#tenant_id;
    let first: StoredBlock | undefined;
    const after = from.cursor - 1;
    for await (const block of readBlocks(store, { tenant_id, after, limit: PAGE_BLOCKS })) {
      if (first === undefined && await isOtherStore(store, tenant_id, from, block)) return false;
      first ??= block;
      if (block.cursor === from.cursor) continue;
      const by = foldedBy(block.node_id);
      const read = by === undefined ? minuteIn(block) : undefined;
      if (read !== undefined) this.#totals.minute(read);
      const next = by && decodeFold(by, block.payload)?.next;
      if (next !== undefined && next - 1 > from.cursor) return false;
      this.#last = takenBlock(block, this.#last);
    }
    return first !== undefined || !(await isOtherStore(store, tenant_id, from, undefined));
  }
}
