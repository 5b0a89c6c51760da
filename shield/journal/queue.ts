/**
 * The queue of a Shield's decisions before the store: limited in bytes, shared between tenants, encrypted in small
 * steps and stored a few blocks at a time. Decisions that do not fit, or that the store refuses after some retries, are
 * counted and become a gap, which the next block reports. No message waits for it.
 */
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { BlockBuilder, type BlockHole, type BlockOwner } from "../../shared/journal/block.ts";
import type { JournalEntry } from "../../shared/journal/record.ts";
import type { UserKeys } from "../../shared/journal/user_keys.ts";
import type { Env } from "../../shared/env.ts";
import { BLOCK_BYTES_MAX, type BlockStore } from "../../shared/spine/contract/block_store.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import { turn } from "../../shared/turns/next_turn.ts";
import type { JournalKeeping } from "./journal_place.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import { BlockRemovals } from "../../shared/blocks/block_removals.ts";
import { isFinalRefusal, StorageFull } from "../../shared/spine/contract/write_errors.ts";
import { pause, within } from "../../shared/within.ts";
import { type Registry, scraped } from "../../shared/metrics/metrics.ts";

/** A block is closed at this size, before compression; one more entry always fits. */
const BLOCK_BYTES = BLOCK_BYTES_MAX - 196_608;
/** The most bytes of one entry; a larger one is dropped, and reported as a gap. */
const ENTRY_BYTES = 180_000;
/** The most blocks being closed or stored at a time. */
const UNDER_WAY = 4;
/** How long closing blocks may use the thread, in ms. */
const SLICE_MS = 1;
/** The pauses before retries; after the last the block is lost. */
const PAUSES_MS = [100, 400, 1_600, 3_200];
/** The least time between two log lines about lost decisions, in ms. */
const LOG_MS = 10_000;

/** The most remembered series, least recently used dropped first. */
const SERIES_MAX = 16_384;
/** A single tenant may use this many parts of the queue; one is left for the next. */
const PARTS = 4;

/** The destination of blocks, and the limits of the queue. */
export interface QueueOptions extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly owner: Omit<BlockOwner, "tenant">;
  /** The store and the users' keys; asked for again after a failure. */
  readonly store: () => Promise<Pick<BlockStore, "append" | "newest" | "remove">>;
  readonly keys: () => Promise<Pick<UserKeys, "forWriting">>;
  readonly queue_bytes: number;
  readonly flush_ms: number;
  /** The pauses before retries, in ms; absent: 5 s together. Tests use shorter ones. */
  readonly pauses_ms?: readonly number[];
  readonly totals: JournalTotals;
}

/** Decisions of one tenant for one block. */
interface Block {
  readonly tenant_id: string;
  readonly keeping: JournalKeeping;
  readonly builder: BlockBuilder;
  /** When it was started, Unix ms. */
  readonly began_ms: number;
  /** The same, monotonic ms. */
  readonly opened_ms: number;
  bytes: number;
  /** The number of its first record, once it is full. */
  first: number;
  /** The last attempt to store it. */
  append?: Promise<void>;
}

/** Gaps that no block has reported yet. */
interface PendingGaps {
  readonly tenant_id: string;
  readonly keeping: JournalKeeping;
  readonly by_cause: Map<string, BlockHole>;
}

/** The queue of one process; `write` never waits. */
export class JournalQueue {
  readonly #options: QueueOptions;
  /** The blocks being filled, by retention and tenant. */
  readonly #open = new Map<JournalKeeping, Map<string, Block>>();
  readonly #gaps = new Map<string, PendingGaps>();
  /** Blocks that are not stored, in any state. */
  readonly #waiting = new Set<Block>();
  #full: Block[] = [];
  /** The blocks being closed or stored. */
  readonly #under_way = new Set<Block>();
  readonly #removals = new BlockRemovals();
  readonly #shares: FairBound;
  /** The number of stored blocks of each tenant and retention: they are numbered in the order of storage. */
  readonly #series = new BoundedMap<string, { readonly series: number; number: number }>(
    SERIES_MAX,
  );
  #next: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closing: AbortController = new AbortController();
  #onIdle: (() => void) | undefined;
  #lost = 0;
  /** Monotonic ms. */
  #logged_ms = -Infinity;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#shares = new FairBound(options.queue_bytes, PARTS);
    // No earlier process of this node has used these numbers: none writes a thousand records per ms.
    this.#next = options.now() * 1_000;
  }

  get bytes(): number {
    return this.#shares.total;
  }

  /** Up to when all decisions are stored, and all gaps reported, Unix ms. */
  get sure_ms(): number {
    let sure_ms = this.#options.now();
    for (const { builder, began_ms } of this.#waiting) {
      sure_ms = Math.min(sure_ms, builder.records === 0 ? began_ms : builder.from_ms);
    }
    for (const { by_cause } of this.#gaps.values()) {
      for (const { from_ms } of by_cause.values()) sure_ms = Math.min(sure_ms, from_ms);
    }
    return sure_ms;
  }

  /** Queues a decision, or makes it a gap. Never throws. */
  write(tenant_id: string, keeping: JournalKeeping, entry: JournalEntry): void {
    this.#arm();
    const size = entrySize(entry);
    const has_room = size <= ENTRY_BYTES && this.#shares.hasRoom(tenant_id, size);
    if (!has_room || this.#closing.signal.aborted) {
      return this.#drop({ tenant_id, keeping }, entry, "queue-full");
    }
    const block = this.#block(tenant_id, keeping);
    try {
      block.builder.add(entry);
    } catch (error) {
      // A bug, which loses only this decision.
      return this.#drop(block, entry, "unwritable", error);
    }
    const before = block.bytes;
    block.bytes = block.builder.length;
    this.#shares.add(tenant_id, block.bytes - before);
    if (block.bytes >= BLOCK_BYTES) this.#fill(block);
  }

  /**
   * Stores the queue within the timeout; the rest is lost. Resolves to whether everything was stored, or reported as a
   * gap. Never rejects.
   */
  async close(timeout_ms: number): Promise<boolean> {
    this.#flush();
    if (!this.#is_idle) {
      const idle = new Promise<void>((resolve) => void (this.#onIdle = resolve));
      await within(timeout_ms, idle, () => {});
    }
    this.#closing.abort();
    clearTimeout(this.#timer);
    for (const block of this.#full) this.#lose(block, "unavailable");
    this.#full = [];
    return this.#waiting.size === 0 && this.#gaps.size === 0;
  }

  /** Drops a deleted tenant's decisions, and removes the blocks of this Shield. Rejects as the store does. */
  async forget(tenant_id: string): Promise<void> {
    const own = [...this.#waiting].filter((block) => block.tenant_id === tenant_id);
    for (const block of own) {
      this.#waiting.delete(block);
      this.#shares.add(tenant_id, -block.bytes);
    }
    for (const tenants of this.#open.values()) tenants.delete(tenant_id);
    this.#full = this.#full.filter((block) => block.tenant_id !== tenant_id);
    for (const [key, gap] of [...this.#gaps]) {
      if (gap.tenant_id === tenant_id) this.#gaps.delete(key);
    }
    const { owner: { node }, store } = this.#options;
    const appends = own.map(({ append }) => append);
    await this.#removals.run(tenant_id, node, appends, store).finally(() => this.#onRemoved());
  }

  /** The tenant's next blocks are stored now, or after another attempt. */
  #onRemoved(): void {
    if (this.#removals.is_due) this.#arm();
    this.#run();
  }

  #block(tenant_id: string, keeping: JournalKeeping): Block {
    let tenants = this.#open.get(keeping);
    if (tenants === undefined) this.#open.set(keeping, tenants = new Map());
    let block = tenants.get(tenant_id);
    if (block === undefined) {
      const times = { began_ms: this.#options.now(), opened_ms: this.#options.monotonic_ms() };
      block = { tenant_id, keeping, builder: new BlockBuilder(), ...times, bytes: 0, first: 0 };
      tenants.set(tenant_id, block);
      this.#waiting.add(block);
    }
    return block;
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#closing.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#flush();
    }, this.#options.flush_ms);
  }

  /** Queues every open block, and unreported gaps. */
  #flush(): void {
    this.#removals.retry(() => this.#onRemoved());
    // While blocks wait, gaps wait, too: blocks with only gaps would have no limit while the store is unreachable.
    if (this.#full.length === 0) {
      for (const { tenant_id, keeping } of this.#gaps.values()) this.#block(tenant_id, keeping);
    } else if (this.#gaps.size > 0) this.#arm();
    for (const tenants of [...this.#open.values()]) {
      for (const block of [...tenants.values()]) this.#fill(block);
    }
  }

  /** A full block is numbered and queued. */
  #fill(block: Block): void {
    const tenants = this.#open.get(block.keeping);
    tenants?.delete(block.tenant_id);
    if (tenants?.size === 0) this.#open.delete(block.keeping);
    block.first = this.#next;
    this.#next += block.builder.records;
    this.#full.push(block);
    this.#run();
  }

  #run(): void {
    while (this.#under_way.size < UNDER_WAY && !this.#closing.signal.aborted) {
      const block = this.#takeFull();
      if (block === undefined) break;
      this.#under_way.add(block);
      void this.#send(block).finally(() => {
        this.#under_way.delete(block);
        this.#run();
      });
    }
    if (this.#is_idle) this.#onIdle?.();
  }

  get #is_idle(): boolean {
    return this.#under_way.size === 0 && this.#removals.is_idle;
  }

  /** The next block of a tenant without a running one: blocks are stored in the order of their numbers. */
  #takeFull(): Block | undefined {
    const busy = new Set([...this.#under_way].map(({ tenant_id }) => tenant_id));
    const at = this.#full.findIndex(({ tenant_id: t }) => !busy.has(t) && !this.#removals.has(t));
    return at < 0 ? undefined : this.#full.splice(at, 1)[0];
  }

  #seriesOf(block: Block): { readonly series: number; number: number } {
    const key = gapsKey(block);
    const series = this.#series.use(key) ?? { series: this.#next++, number: 0 };
    this.#series.set(key, series);
    return series;
  }

  /** Stores a block, with the tenant's gaps. Never rejects. */
  async #send(block: Block): Promise<void> {
    const { totals, owner, keys, store, pauses_ms = PAUSES_MS } = this.#options;
    const { tenant_id, keeping: { ttl_seconds, max_bytes }, builder } = block;
    const pending = this.#gaps.get(gapsKey(block));
    this.#gaps.delete(gapsKey(block));
    const holes = [...pending?.by_cause.values() ?? []];
    // Without an id, a block whose answer was lost would be stored twice.
    const id = crypto.randomUUID();
    const series = this.#seriesOf(block);
    const place = { ...series, first: block.first };
    for (let attempt = 0;; attempt++) {
      try {
        const { opened_ms } = block;
        const user_keys = await (await keys()).forWriting(tenant_id, builder.users, opened_ms);
        const steps = builder.close({ ...owner, tenant: tenant_id }, place, holes, user_keys);
        const payload = await this.#inSlices(steps);
        const block_of = { tenant_id, node_id: owner.node, ttl_seconds, max_bytes, payload, id };
        const there = await store();
        // Its tenant may have been deleted meanwhile.
        if (!this.#waiting.has(block)) return;
        await (block.append = there.append(block_of));
        if (!this.#waiting.delete(block)) return;
        series.number++;
        totals.records.stored += builder.records;
        totals.bytes += payload.length;
        this.#shares.add(tenant_id, -block.bytes);
        return;
      } catch (error) {
        if (!this.#waiting.has(block)) return;
        const pause_ms = pauses_ms[attempt];
        const is_empty = builder.records === 0;
        const is_final = is_empty || isFinalRefusal(error);
        const { signal } = this.#closing;
        if (pause_ms !== undefined && !is_final && await pause(pause_ms, signal)) continue;
        // The block may have been stored nevertheless, so a new series begins, in which its number does not matter.
        this.#series.delete(gapsKey(block));
        for (const hole of holes) this.#gapsOf(block).by_cause.set(hole.why, hole);
        if (is_empty) {
          this.#waiting.delete(block);
          return this.#arm();
        }
        return this.#lose(block, causeOf(error), error);
      }
    }
  }

  async #inSlices(
    steps: Generator<void, Uint8Array<ArrayBuffer>, void>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { monotonic_ms } = this.#options;
    let began_ms = monotonic_ms();
    for (;;) {
      step(AT.journal);
      const { done, value } = steps.next();
      if (done === true) return value;
      if (monotonic_ms() - began_ms < SLICE_MS) continue;
      await turn();
      began_ms = monotonic_ms();
    }
  }

  #drop(
    about: Pick<Block, "tenant_id" | "keeping">,
    { time_ms }: JournalEntry,
    why: HoleCause,
    error?: unknown,
  ): void {
    // The time itself may be invalid.
    const at_ms = Number.isSafeInteger(time_ms) && time_ms >= 0 ? time_ms : this.#options.now();
    this.#miss(about, 1, why, [at_ms, at_ms], error);
  }

  #lose(block: Block, why: HoleCause, error?: unknown): void {
    const { builder } = block;
    this.#shares.add(block.tenant_id, -block.bytes);
    this.#waiting.delete(block);
    this.#miss(block, builder.records, why, [builder.from_ms, builder.to_ms], error);
  }

  #gapsOf({ tenant_id, keeping }: Pick<Block, "tenant_id" | "keeping">): PendingGaps {
    const key = gapsKey({ tenant_id, keeping });
    const gap = () => ({ tenant_id, keeping, by_cause: new Map<string, BlockHole>() });
    return this.#gaps.getOrInsertComputed(key, gap);
  }

  /** Records missing decisions for the tenant's next block. */
  #miss(
    about: Pick<Block, "tenant_id" | "keeping">,
    records: number,
    why: HoleCause,
    [from_ms, to_ms]: readonly [from_ms: number, to_ms: number],
    error?: unknown,
  ): void {
    const { totals } = this.#options;
    totals.records.lost += records;
    const { by_cause } = this.#gapsOf(about);
    const before = by_cause.get(why);
    if (before === undefined) totals.holes[why]++;
    by_cause.set(why, {
      from_ms: Math.min(before?.from_ms ?? from_ms, from_ms),
      to_ms: Math.max(before?.to_ms ?? to_ms, to_ms),
      records: (before?.records ?? 0) + records,
      why,
    });
    this.#arm();
    this.#tell(records, why, error);
  }

  #tell(records: number, why: HoleCause, error: unknown): void {
    const { monotonic_ms, log } = this.#options;
    this.#lost += records;
    const now_ms = monotonic_ms();
    if (now_ms - this.#logged_ms < LOG_MS) return;
    log.warn("decisions are missing from the journal; messages are not affected", {
      records: this.#lost,
      why,
      error,
    });
    this.#logged_ms = now_ms;
    this.#lost = 0;
  }
}

const gapsKey = ({ tenant_id, keeping }: Pick<Block, "tenant_id" | "keeping">): string =>
  `${tenant_id}\n${keeping.ttl_seconds}\n${keeping.max_bytes}`;

/** The cause of a gap after that error. */
function causeOf(error: unknown): HoleCause {
  if (isFinalRefusal(error)) return "queue-full";
  return error instanceof StorageFull ? "storage-full" : "unavailable";
}

/** An upper bound of an entry's bytes, except for texts with more than a byte per character. */
function entrySize(entry: JournalEntry): number {
  const { payload, policies, message, schema, room, type, content_type } = entry;
  let size = 256 + message.length + room.length + type.length + content_type.length +
    (entry.message_id?.length ?? 0) + (entry.schema_id?.length ?? 0) +
    (payload.form === "kept" ? payload.data.length : 0);
  if (schema !== null) size += violationSize(schema);
  for (const policy of policies) size += policySize(policy);
  return size;
}

function violationSize({ id, violation }: NonNullable<JournalEntry["schema"]>): number {
  if (violation === null) return id.length;
  return id.length + violation.path.length + violation.rule.length + violation.message.length;
}

function policySize(policy: JournalEntry["policies"][number]): number {
  const { reads, writes, logs, added_headers, reason, detail, payload } = policy;
  // A replaced payload is base64 here, and bytes in a block.
  let size = 128 + reason.length + detail.length + (payload?.length ?? 0) * 3 / 4;
  for (const { name, value, key } of reads) {
    size += name.length + (value?.length ?? 0) + (key?.length ?? 0);
  }
  for (const { name, value } of writes) size += name.length + (value?.length ?? 0);
  for (const { message } of logs) size += message.length;
  for (const [name, value] of added_headers) size += name.length + value.length;
  return size;
}

/** Why decisions are missing from the journal. */
const HOLE_CAUSES = ["queue-full", "storage-full", "unavailable", "unwritable"] as const;
/** One of `HOLE_CAUSES`. */
type HoleCause = typeof HOLE_CAUSES[number];

/** The counts of a Shield's journal. */
export class JournalTotals {
  readonly records: { stored: number; lost: number } = { stored: 0, lost: 0 };
  /** Bytes of stored blocks. */
  bytes = 0;
  readonly holes: Record<HoleCause, number> = {
    "queue-full": 0,
    "storage-full": 0,
    unavailable: 0,
    unwritable: 0,
  };

  /** Registers them, once per registry; the other figures are read at a scrape. */
  register(
    registry: Registry,
    queue_bytes: () => number,
    keys_held: () => number,
    unkept: () => number,
  ): void {
    scraped(registry, {
      "shield_journal_records_total": [
        "Decisions for the journal: stored, or lost because the queue was full, the store refused them, or one could not be written.",
        "outcome",
        () => this.records,
      ],
      "shield_journal_bytes_total": ["Bytes of the journal's stored blocks.", () => this.bytes],
      "shield_journal_holes_total": [
        "Gaps in the journal's decisions, by cause.",
        "why",
        () => this.holes,
      ],
      "shield_journal_unkept_total": [
        "Users' parts of blocks that were not written because the bucket of keys was full.",
        unkept,
      ],
      "shield_journal_queue_bytes": ["Bytes of decisions that are not stored yet.", queue_bytes],
      "shield_journal_keys": [
        "Keys of users in memory, to write and to read the journal.",
        keys_held,
      ],
    });
  }
}
