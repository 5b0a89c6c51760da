/**
 * Reads a tenant's stored usage, each minute once: days, hours not folded into a day, and minutes not folded into an
 * hour. Any Shield may fold and remove blocks meanwhile: then it is read again. Running minutes are in a bucket until
 * they end.
 */
import { ArqonError } from "@arqon/proto";
import { type LastBlock, readBlocks, takenBlock } from "../blocks/read_blocks.ts";
import { type BlockStore, FOLD_WRITERS, type StoredBlock } from "../spine/contract/block_store.ts";
import { slice } from "../turns/slices.ts";
import { decodeMinute, type UsageMinute } from "./minute.ts";
import { decodeFold, type Fold, type FoldedBy, foldedBy, type FoldedUse } from "./fold.ts";
import type { FoldLives } from "./fold_lives.ts";
import type { KeyValue } from "../spine/contract/spine.ts";
import { runningKey } from "./usage_stores.ts";

/**
 * How much earlier than the requested time blocks are read, too: their store times are by the store's clock, and clocks
 * differ and are set.
 */
export const CLOCKS_MS = 86_400_000;

const PAGE_BLOCKS = 512;
/** How often reading is retried. Each Shield folds a tenant once a minute at most. */
const ATTEMPTS = 4;

/** A minute and its node. */
export interface NodeMinute extends UsageMinute {
  readonly node_id: string;
}

/** The minute in a node's block; undefined if it cannot be read. */
export function minuteIn({ node_id, payload }: StoredBlock): NodeMinute | undefined {
  const minute = decodeMinute(payload);
  return minute === undefined ? undefined : { ...minute, node_id };
}

/** Receives what is read. */
export interface UseSink {
  /** The folded minutes: called first. */
  known(lives: FoldLives): void;
  minute(read: NodeMinute): void;
  folded(use: FoldedUse): void;
}

/** A stored fold. */
export interface FoldBlock {
  readonly cursor: number;
  readonly time_ms: number;
  readonly fold: Fold;
}

/** The newest fold of hours and of days. */
type FoldHeads = Readonly<Record<FoldedBy, FoldBlock | undefined>>;

type Store = Pick<BlockStore, "read" | "status" | "newest">;

/** The fold in a block; undefined if it cannot be read. */
export function foldIn(
  by: FoldedBy,
  { cursor, time_ms, payload }: StoredBlock,
): FoldBlock | undefined {
  const fold = decodeFold(by, payload);
  return fold && { cursor, time_ms, fold };
}

async function headsOf(store: Store, tenant_id: string): Promise<FoldHeads> {
  const [hour, day] = await Promise.all([
    store.newest(tenant_id, FOLD_WRITERS.hour),
    store.newest(tenant_id, FOLD_WRITERS.day),
  ]);
  return { hour: hour && foldIn("hour", hour), day: day && foldIn("day", day) };
}

interface StoredUse<Sink> {
  readonly sink: Sink;
  readonly heads: FoldHeads;
  readonly damaged: number;
  readonly last: LastBlock | undefined;
  /** Nothing stored then or later was removed, except by age. */
  readonly whole_ms: number;
}

/**
 * Reads everything stored since that time, Unix ms by the store's clock, into a new sink. Rejects with errors of the
 * store, and with `log-unavailable` if every try meets a fold.
 */
export async function readStoredUse<Sink extends UseSink>(
  store: Store,
  tenant_id: string,
  from_ms: number,
  open: () => Sink,
): Promise<StoredUse<Sink>> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const heads = await headsOf(store, tenant_id);
    const sink = open();
    const scan = new Scan(heads, sink);
    const last = await scan.run(store, tenant_id, from_ms);
    const whole_ms = await wholeSince(store, tenant_id, heads, scan.begins_ms);
    const { hour, day } = await headsOf(store, tenant_id);
    if (hour?.cursor !== heads.hour?.cursor || day?.cursor !== heads.day?.cursor) continue;
    return { sink, heads, damaged: scan.damaged, last, whole_ms };
  }
  throw new ArqonError("log-unavailable", "the ledger of use is being folded: ask again");
}

/** One reading of a tenant's blocks. */
class Scan {
  readonly #heads: FoldHeads;
  readonly #sink: UseSink;
  /** Blocks stored before may be missing: in days or, if there are none, in hours. */
  begins_ms: number | undefined;
  damaged = 0;

  constructor(heads: FoldHeads, sink: UseSink) {
    this.#heads = heads;
    this.#sink = sink;
  }

  async run(store: Store, tenant_id: string, from_ms: number): Promise<LastBlock | undefined> {
    const { hour, day } = this.#heads;
    if (hour !== undefined) this.#sink.known(hour.fold.lives);
    let last: LastBlock | undefined;
    for await (const block of readBlocks(store, { tenant_id, from_ms, limit: PAGE_BLOCKS })) {
      this.#add(block);
      last = takenBlock(block, last);
    }
    // A stale replica does not show the newest ones yet.
    if (day !== undefined) this.#fold("day", day);
    if (hour !== undefined) this.#fold("hour", hour);
    return last;
  }

  #add(block: StoredBlock): void {
    const by = foldedBy(block.node_id);
    if (by === undefined) return this.#minute(block);
    if (block.cursor === this.#heads[by]?.cursor) return;
    const found = foldIn(by, block);
    if (found === undefined) this.damaged++;
    else this.#fold(by, found);
  }

  #minute(block: StoredBlock): void {
    if (block.cursor < (this.#heads.hour?.fold.next ?? 0)) return;
    const read = minuteIn(block);
    if (read === undefined) this.damaged++;
    else this.#sink.minute(read);
  }

  #fold(by: FoldedBy, { cursor, fold }: FoldBlock): void {
    const { day } = this.#heads;
    if (by === "hour" && cursor < (day?.fold.next ?? 0)) return;
    if (by === "day" || day === undefined) {
      this.begins_ms ??= fold.since_ms === 0 ? 0 : fold.since_ms + 1;
    }
    this.damaged += fold.damaged;
    for (const use of fold.use) this.#sink.folded(use);
  }
}

/** Since when nothing was removed for lack of room, Unix ms by the store's clock. */
async function wholeSince(
  store: Store,
  tenant_id: string,
  { hour, day }: FoldHeads,
  begins_ms = 0,
): Promise<number> {
  if (hour === undefined) return (await store.status(tenant_id)).whole_ms ?? 0;
  const wholes = [hour, day].map((head) =>
    head === undefined ? 0 : wholeBehind(store, tenant_id, head)
  );
  return Math.max(begins_ms, ...await Promise.all(wholes));
}

/**
 * Since when everything in a fold, in earlier folds and after them is complete. The oldest block is removed first:
 * while a fold exists, everything stored after it does, too, and the oldest fold says what was missing before.
 */
export async function wholeBehind(
  store: Pick<BlockStore, "read">,
  tenant_id: string,
  { time_ms, fold: { next, whole_ms } }: FoldBlock,
): Promise<number> {
  const { blocks: [oldest] } = await store.read({ tenant_id, after: next - 1, limit: 1 });
  return oldest?.cursor === next ? whole_ms : Math.max(whole_ms, time_ms + 1);
}

/** The running minutes of a tenant, and those left by killed Shields. Rejects with errors of the bucket. */
export async function readRunning(
  { running }: { readonly running: Pick<KeyValue, "keys" | "get"> },
  tenant_id: string,
): Promise<NodeMinute[]> {
  const minutes: NodeMinute[] = [];
  for (const key of await running.keys(runningKey(tenant_id))) {
    await slice(tenant_id);
    const entry = await running.get(key);
    const minute = entry === undefined ? undefined : decodeMinute(entry.value);
    if (minute !== undefined) minutes.push({ ...minute, node_id: key[2] ?? "" });
  }
  return minutes;
}
