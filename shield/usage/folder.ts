/**
 * Folds stored usage: minutes of past hours into hours, hours of past days into days. Every Shield folds. A fold is
 * stored by compare-and-swap; then its blocks are removed, by another Shield if necessary. One tenant at a time, a
 * limited number of blocks of each per minute.
 */
import type { Env } from "../../shared/env.ts";
import { ArqonError } from "@arqon/proto";
import { readBlocks } from "../../shared/blocks/read_blocks.ts";
import {
  type BlockStore,
  FOLD_WRITERS,
  type StoredBlock,
} from "../../shared/spine/contract/block_store.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import { slice } from "../../shared/turns/slices.ts";
import { decodeMinute } from "../../shared/usage/minute.ts";
import { runningKey, type UsageStores } from "../../shared/usage/usage_stores.ts";
import {
  decodeFold,
  encodeFold,
  type Fold,
  type FoldedBy,
  foldedBy,
  FoldSum,
} from "../../shared/usage/fold.ts";
import { FoldLives } from "../../shared/usage/fold_lives.ts";
import { type FoldBlock, foldIn, minuteIn, wholeBehind } from "../../shared/usage/stored_use.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** How long after the end of an hour its last minutes may still be stored, in ms. */
const LATE_MS = 60_000;
/** How long usage is kept by the minute, and then by the hour, in ms; at most an hour or a day longer. */
const KEPT_MS: Readonly<Record<FoldedBy, number>> = { hour: HOUR_MS, day: 2 * DAY_MS };
const UNIT_MS: Readonly<Record<FoldedBy, number>> = { hour: HOUR_MS, day: DAY_MS };
/** How long another Shield may still complete a fold, in ms. */
const FINISHED_MS = 2 * DAY_MS;
/** Interval of the checks for a past hour, in ms. */
const TICK_MS = 60_000;
const FOLD_BLOCKS = 4_096;
const PAGE_BLOCKS = 512;

interface UsageFolderOptions extends Pick<Env, "log" | "node_id" | "now"> {
  readonly place: Pick<UsageStores, "store" | "running" | "kept_ms">;
  /** The most bytes of a tenant's blocks. */
  readonly tenant_bytes: number;
}

/** The blocks being folded. */
interface Taken {
  /** When it began, Unix ms by the store's clock. */
  readonly now_ms: number;
  readonly sum: FoldSum;
  readonly lives: FoldLives;
  stored_ms: number;
  since_ms: number | undefined;
  damaged: number;
  blocks: number;
  /** There may be more that are old enough. */
  is_cut: boolean;
}

function unlessConflict(error: unknown): void {
  if (!isConflict(error)) throw error;
}

/** Folds on one Shield, one tenant at a time. */
export class UsageFolder {
  /** Folded blocks, and tenants whose fold failed. */
  readonly totals = { blocks: 0, failed: 0 };
  readonly #options: UsageFolderOptions;
  /** Tenants to fold in this hour. */
  readonly #due = new Set<string>();
  /** Spreads Shields by name, so that most of them find the fold done. */
  readonly #shift_ms: number;
  #hour = -1;
  #pass: Promise<void> | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #failed = false;
  #closed = false;

  constructor(options: UsageFolderOptions) {
    this.#options = options;
    const sum = [...options.node_id].reduce((all, one) => all + one.charCodeAt(0), 0);
    this.#shift_ms = sum % 10 * TICK_MS;
  }

  /** Tenants waiting to be folded. */
  get waiting(): number {
    return this.#due.size;
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), TICK_MS);
    Deno.unrefTimer(this.#timer);
  }

  /** Folds what is due, unless the last pass still runs. */
  tick(): void {
    this.#pass ??= this.#run().finally(() => this.#pass = undefined);
  }

  /** Resolves when the pass started by `tick` has ended. */
  async idle(): Promise<void> {
    await this.#pass;
  }

  /** Ends after the current tenant. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#pass;
  }

  /**
   * Folds a tenant's old blocks. Resolves with whether there may be more. Rejects with errors of the store; the next
   * pass completes a fold.
   */
  async fold(tenant_id: string): Promise<boolean> {
    const { place, now } = this.#options;
    const store = await place.store();
    // Blocks expire by the store's clock. This Shield's may be days ahead or behind, and a fold is never undone.
    const now_ms = now() + await store.aheadMs();
    const hours = await this.#fold(store, tenant_id, "hour", now_ms);
    const days = await this.#fold(store, tenant_id, "day", now_ms);
    return hours || days;
  }

  async #run(): Promise<void> {
    const { place, log, now } = this.#options;
    try {
      const hour = Math.floor((now() - LATE_MS - this.#shift_ms) / HOUR_MS);
      if (hour !== this.#hour) {
        for (const tenant_id of await (await place.store()).tenants()) this.#due.add(tenant_id);
        this.#hour = hour;
      }
      for (const tenant_id of [...this.#due]) {
        await slice(tenant_id);
        if (this.#closed) return;
        // Whatever the outcome, the other tenants come first.
        this.#due.delete(tenant_id);
        if (await this.fold(tenant_id)) this.#due.add(tenant_id);
      }
      this.#failed = false;
    } catch (error) {
      this.totals.failed++;
      if (!this.#failed) {
        log.warn("usage could not be folded into hours and days; retrying", { error });
      }
      this.#failed = true;
    }
  }

  async #fold(
    store: BlockStore,
    tenant_id: string,
    by: FoldedBy,
    now_ms: number,
  ): Promise<boolean> {
    const newest = await store.newest(tenant_id, FOLD_WRITERS[by]);
    const head = newest && foldIn(by, newest);
    if (newest !== undefined && head === undefined) {
      throw new ArqonError("log-unavailable", `the newest fold of ${tenant_id} cannot be read`);
    }
    const made = await this.#make(store, tenant_id, by, head, now_ms);
    const is_due = made !== undefined || now_ms - (head?.time_ms ?? 0) < FINISHED_MS;
    if (head !== undefined && is_due) await this.#finish(store, tenant_id, by, head.fold);
    if (made === undefined) return false;
    const { fold, taken } = made;
    const age_ms = Math.max(0, now_ms - fold.stored_ms);
    try {
      await store.append({
        tenant_id,
        node_id: FOLD_WRITERS[by],
        payload: encodeFold(fold),
        // It expires when the newest block in it would have.
        ttl_seconds: Math.max(1, Math.ceil((this.#options.place.kept_ms - age_ms) / 1_000)),
        max_bytes: this.#options.tenant_bytes,
        expected: head?.cursor ?? 0,
      });
    } catch (error) {
      // Another Shield has folded it.
      if (isConflict(error)) return true;
      throw error;
    }
    this.totals.blocks += taken.blocks;
    await this.#finish(store, tenant_id, by, fold);
    return taken.is_cut;
  }

  /** The next fold; undefined: nothing is old enough. */
  async #make(
    store: BlockStore,
    tenant_id: string,
    by: FoldedBy,
    head: FoldBlock | undefined,
    now_ms: number,
  ): Promise<{ readonly fold: Fold; readonly taken: Taken } | undefined> {
    const taken: Taken = {
      now_ms,
      sum: new FoldSum(by),
      lives: head?.fold.lives.at(head.fold.stored_ms) ?? new FoldLives(),
      stored_ms: head?.fold.stored_ms ?? 0,
      since_ms: head?.fold.stored_ms,
      damaged: 0,
      blocks: 0,
      is_cut: false,
    };
    const next = await this.#take(store, tenant_id, by, head?.fold.next ?? 1, taken);
    if (next === undefined || taken.blocks === 0) return undefined;
    const whole_ms = head !== undefined
      ? await wholeBehind(store, tenant_id, head)
      : by === "hour"
      ? (await store.status(tenant_id)).whole_ms ?? 0
      : 0;
    const { sum: { use }, lives, stored_ms, since_ms = 0, damaged } = taken;
    return { fold: { use, next, stored_ms, since_ms, whole_ms, damaged, lives }, taken };
  }

  /** Adds blocks in order. Resolves with the first one that stays: at least the newest. */
  async #take(
    store: BlockStore,
    tenant_id: string,
    by: FoldedBy,
    next: number,
    taken: Taken,
  ): Promise<number | undefined> {
    const source = by === "hour" ? undefined : "hour";
    let held: StoredBlock | undefined;
    let looked = 0;
    const from = { tenant_id, after: next - 1, limit: PAGE_BLOCKS };
    const future_ms = taken.now_ms + LATE_MS;
    let is_set_back: boolean | undefined;
    for await (const block of readBlocks(store, from)) {
      if (looked++ === FOLD_BLOCKS) {
        taken.is_cut = true;
        break;
      }
      if (foldedBy(block.node_id) !== source) continue;
      if (held !== undefined) {
        const is_future = held.time_ms > future_ms;
        // While the store's clock is behind its newest block, it gives no age: a fold could expire at once.
        if (is_future) is_set_back ??= ((await store.status(tenant_id)).last_ms ?? 0) > future_ms;
        if (is_future && is_set_back === true || !this.#add(by, held, taken)) break;
      }
      held = block;
    }
    return held?.cursor;
  }

  /** Adds a block; false: it is too young, or there is no room. */
  #add(by: FoldedBy, block: StoredBlock, taken: Taken): boolean {
    const { sum, lives } = taken;
    if (!sum.hasRoom(block.payload.length)) {
      taken.is_cut = true;
      return false;
    }
    if (by === "day") {
      const fold = decodeFold("hour", block.payload);
      const begins = fold?.use.map((use) => use.begins) ?? [];
      if (!isOld(taken, by, fold?.stored_ms ?? block.time_ms, begins)) return false;
      for (const { begins, node_id, rows } of fold?.use ?? []) sum.add(begins, node_id, rows);
      taken.since_ms ??= fold?.since_ms;
      taken.stored_ms = Math.max(taken.stored_ms, fold?.stored_ms ?? 0);
      taken.damaged += fold?.damaged ?? 1;
    } else {
      const read = minuteIn(block);
      const minutes = read === undefined ? [] : [read.minute];
      if (!isOld(taken, by, block.time_ms, minutes)) return false;
      if (read === undefined) taken.damaged++;
      else if (!lives.has(read)) sum.add(read.minute, read.node_id, read.rows);
      if (read !== undefined) lives.add(read, block.time_ms);
      taken.stored_ms = Math.max(taken.stored_ms, block.time_ms);
    }
    taken.blocks++;
    return true;
  }

  /** Removes the blocks in a fold. Idempotent. */
  async #finish(store: BlockStore, tenant_id: string, by: FoldedBy, fold: Fold): Promise<void> {
    const { next, lives, use } = fold;
    if (by === "day") return await store.remove(tenant_id, FOLD_WRITERS.hour, next);
    const bucket = await this.#options.place.running();
    // The last minute of a killed Shield is also stored.
    for (const key of await bucket.keys(runningKey(tenant_id))) {
      const entry = await bucket.get(key);
      const minute = entry && decodeMinute(entry.value);
      if (minute === undefined || !lives.has({ ...minute, node_id: key[2] ?? "" })) continue;
      // The minute was removed, or the Shield lives and continues to count.
      await bucket.delete(key, entry!.revision).catch(unlessConflict);
    }
    const nodes = new Set([...lives.nodes, ...use.map(({ node_id }) => node_id)]);
    for (const node_id of nodes) await store.remove(tenant_id, node_id, next);
  }
}

/**
 * Whether the hours, or days, of these minutes ended long enough ago, and the block was not stored just now. Minutes in
 * the future are from a clock that was ahead: they delay nothing.
 */
function isOld(
  { now_ms }: Pick<Taken, "now_ms">,
  by: FoldedBy,
  stored_ms: number,
  minutes: readonly number[],
): boolean {
  const before_ms = now_ms - KEPT_MS[by] - LATE_MS;
  const kept_ms = before_ms - before_ms % UNIT_MS[by];
  const isBefore = (time_ms: number, late_ms: number) =>
    time_ms < kept_ms + late_ms || time_ms > now_ms + LATE_MS;
  return isBefore(stored_ms, LATE_MS) && minutes.every((minute) => isBefore(minute * MINUTE_MS, 0));
}
