/**
 * Blocks that wait for their store: a bounded number of bytes, each tenant's blocks in their order, all tenants in
 * turn. A tenant whose block is not stored holds up nobody else, and a block that no store will ever take is given
 * up. What a block says, and when it is stored, is up to the writer.
 */
import { slice } from "../turns/slices.ts";
import { isFinalRefusal } from "../spine/contract/final_refusal.ts";

/** Blocks that are on their way to the store at a time. */
const UNDER_WAY = 8;

/** A block that waits. */
export interface WaitingBlock {
  /** As `BlockAppend.id`: a block whose answer was lost is stored, and would be there twice. */
  readonly id: string;
  readonly tenant_id: string;
  readonly payload: Uint8Array;
}

/** What a queue needs of its writer. */
export interface BlockQueueOptions<Block> {
  /** The most bytes that wait. */
  readonly bytes_max: number;
  /** Told of each block that is given up: without `error` because too many wait, else the refusal. */
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
  /** Tenants with blocks that wait; who was served last stands last. */
  readonly #tenants = new Map<string, TenantBlocks<Block>>();
  /** The blocks that are being stored: the oldest of their tenants. */
  #under_way: ReadonlySet<Block> = new Set();
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

  /**
   * One of those that hold no less than the average gives up its oldest block, or whoever has one: what is under way
   * may be stored.
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
   * Stores what is queued with `put`, tenant by tenant in turn; a tenant whose block is refused waits for the next pass.
   * Ends early when `isStopped`, or when nothing is taken any longer. Resolves with the first refusal. One at a time.
   */
  async store(
    put: (block: Block) => Promise<void>,
    isStopped: () => boolean = () => false,
  ): Promise<unknown> {
    const refused = new Set<string>();
    let first: unknown;
    while (!isStopped()) {
      const some = this.#next(refused);
      this.#under_way = new Set(some);
      const results = await Promise.allSettled(some.map(put));
      this.#under_way = new Set();
      let away = 0;
      for (const [at, result] of results.entries()) {
        const block = some[at]!;
        if (result.status === "fulfilled") this.#remove(block);
        else if (isFinalRefusal(result.reason)) {
          this.#remove(block);
          this.#options.lost(block, result.reason);
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
   * The blocks that are stored next, one of a tenant: one behind it may not be stored before it. Their tenants go to
   * the end of the line.
   */
  #next(refused: ReadonlySet<string>): Block[] {
    const some: Block[] = [];
    for (const block of this.heads()) {
      if (!refused.has(block.tenant_id)) some.push(block);
      if (some.length === UNDER_WAY) break;
    }
    for (const { tenant_id } of some) {
      const tenant = this.#tenants.get(tenant_id)!;
      this.#tenants.delete(tenant_id);
      this.#tenants.set(tenant_id, tenant);
    }
    return some;
  }

  #remove(block: Block): void {
    const { tenant_id, payload } = block;
    const tenant = this.#tenants.get(tenant_id)!;
    tenant.blocks.splice(tenant.blocks.indexOf(block), 1);
    tenant.bytes -= payload.length;
    this.#bytes -= payload.length;
    if (tenant.blocks.length === 0) this.#tenants.delete(tenant_id);
  }
}
