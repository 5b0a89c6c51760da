/**
 * A queue of blocks to be stored: bounded in bytes, in order for each tenant, with the tenants in turn. A tenant whose
 * block cannot be stored does not delay others, and a permanently refused block is dropped. The writer defines the
 * blocks' content and when they are due.
 */
import { slice } from "../turns/slices.ts";
import type { BlockStore } from "../spine/contract/block_store.ts";
import { isFinalRefusal } from "../spine/contract/write_errors.ts";
import { BlockRemovals } from "./block_removals.ts";

/** The most blocks that are being stored concurrently. */
const UNDER_WAY = 8;

/** A block that waits. */
export interface WaitingBlock {
  /** As `BlockAppend.id`, so that a block whose answer was lost is not stored twice. */
  readonly id: string;
  readonly tenant_id: string;
  readonly payload: Uint8Array;
}

interface BlockQueueOptions<Block> {
  readonly bytes_max: number;
  /** Called for each dropped block: without `error` if the queue was full, otherwise with the refusal. */
  readonly lost: (block: Block, error?: unknown) => void;
}

/** The blocks of one tenant, the oldest first. */
interface TenantBlocks<Block> {
  readonly blocks: Block[];
  bytes: number;
}

/** The queue of one writer. */
export class BlockQueue<Block extends WaitingBlock> {
  readonly #options: BlockQueueOptions<Block>;
  /** Tenants with queued blocks; the last served one is last. */
  readonly #tenants = new Map<string, TenantBlocks<Block>>();
  /** The blocks that are being stored: the oldest of their tenants. */
  #under_way: ReadonlySet<Block> = new Set();
  /** Settles when they are stored or refused. */
  #puts: Promise<unknown> | undefined;
  readonly #removals = new BlockRemovals();
  #bytes = 0;

  constructor(options: BlockQueueOptions<Block>) {
    this.#options = options;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  get is_empty(): boolean {
    return this.#tenants.size === 0;
  }

  /** Whether `store` has nothing to do. */
  get is_idle(): boolean {
    return this.is_empty && !this.#removals.is_due;
  }

  /** The oldest block of each tenant. */
  *heads(): Generator<Block> {
    for (const { blocks: [oldest] } of this.#tenants.values()) {
      if (oldest !== undefined) yield oldest;
    }
  }

  /** Adds a block. Where too many bytes wait then, tenants with many lose their oldest. */
  push(block: Block): void {
    const { tenant_id, payload } = block;
    const tenant = this.#tenants.get(tenant_id) ?? { blocks: [], bytes: 0 };
    this.#tenants.set(tenant_id, tenant);
    tenant.blocks.push(block);
    tenant.bytes += payload.length;
    this.#bytes += payload.length;
    while (this.#bytes > this.#options.bytes_max) this.#loseOne();
  }

  /** Drops a deleted tenant's blocks without calling `lost`, and removes those that the node has stored. */
  async forget(
    tenant_id: string,
    node_id: string,
    store: () => Promise<Pick<BlockStore, "newest" | "remove">>,
  ): Promise<void> {
    this.#bytes -= this.#tenants.get(tenant_id)?.bytes ?? 0;
    this.#tenants.delete(tenant_id);
    await this.#removals.run(tenant_id, node_id, [this.#puts], store);
  }

  /**
   * Drops the oldest block of a tenant with at least the average size. Blocks that are being stored are not dropped if
   * possible.
   */
  #loseOne(): void {
    for (const least of [this.#bytes / this.#tenants.size, 0]) {
      for (const { blocks, bytes } of this.#tenants.values()) {
        const oldest = blocks.find((block) => !this.#under_way.has(block));
        if (oldest === undefined || bytes < least) continue;
        this.#remove(oldest);
        return this.#options.lost(oldest);
      }
    }
  }

  /**
   * Retries refused removals, and stores queued blocks with `put`, tenants in turn; a tenant whose block is refused
   * waits for the next pass. Ends early if `isStopped`, or if no block is accepted. Resolves with the first refusal.
   * One call at a time.
   */
  async store(
    put: (block: Block) => Promise<void>,
    isStopped: () => boolean = () => false,
  ): Promise<unknown> {
    this.#removals.retry();
    const refused = new Set<string>();
    let first: unknown;
    while (!isStopped()) {
      const some = this.#next(refused);
      this.#under_way = new Set(some);
      const puts = Promise.allSettled(some.map(put));
      this.#puts = puts;
      const results = await puts;
      this.#under_way = new Set();
      let away = 0;
      for (const [at, result] of results.entries()) {
        const block = some[at]!;
        if (result.status === "fulfilled") this.#remove(block);
        else if (isFinalRefusal(result.reason)) {
          if (this.#remove(block)) this.#options.lost(block, result.reason);
        } else {
          first ??= result.reason;
          away++;
          refused.add(block.tenant_id);
        }
      }
      if (away === some.length) break;
      await slice(some[0]!.tenant_id);
    }
    return first;
  }

  /**
   * The next blocks, one for each tenant, because a later one must not be stored before it. Their tenants move to the
   * end of the order.
   */
  #next(refused: ReadonlySet<string>): Block[] {
    const some: Block[] = [];
    for (const block of this.heads()) {
      const { tenant_id } = block;
      if (!refused.has(tenant_id) && !this.#removals.has(tenant_id)) some.push(block);
      if (some.length === UNDER_WAY) break;
    }
    for (const { tenant_id } of some) {
      const tenant = this.#tenants.get(tenant_id)!;
      this.#tenants.delete(tenant_id);
      this.#tenants.set(tenant_id, tenant);
    }
    return some;
  }

  /** False: it has been dropped. */
  #remove(block: Block): boolean {
    const { tenant_id, payload } = block;
    const tenant = this.#tenants.get(tenant_id);
    const at = tenant?.blocks.indexOf(block) ?? -1;
    if (tenant === undefined || at < 0) return false;
    tenant.blocks.splice(at, 1);
    tenant.bytes -= payload.length;
    this.#bytes -= payload.length;
    if (tenant.blocks.length === 0) this.#tenants.delete(tenant_id);
    return true;
  }
}
