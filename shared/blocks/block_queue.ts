/**
 * Blocks that wait for their store: a bounded number of bytes, each tenant's blocks in their order, all tenants in
 * turn. A tenant whose block is not stored holds up nobody else, and a block that no store will ever take is given
 * up. What a block says, and when it is stored, is up to the writer.
 */
import { isFinalRefusal } from "../spine/contract/final_refusal.ts";

/** Blocks that are on their way to the store at a time. */
const UNDER_WAY = 8;

/** A block that waits. */
export interface WaitingBlock {
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

  /** One of those that hold no less than the average gives up its oldest block. */
  #loseOne(): void {
    const average = this.#bytes / this.#tenants.size;
    for (const { blocks: [oldest], bytes } of this.#tenants.values()) {
      if (oldest === undefined || bytes < average) continue;
      this.#remove(oldest);
      return this.#options.lost(oldest);
    }
  }

  /**
   * Stores what is queued with `put`, tenant by tenant in turn; a tenant whose block is refused waits for the next pass.
   * Ends early when `isStopped`, or when nothing is taken any longer. Resolves with the first refusal.
   */
  async store(
    put: (block: Block) => Promise<void>,
    isStopped: () => boolean = () => false,
  ): Promise<unknown> {
    const refused = new Set<string>();
    let first: unknown;
    while (!isStopped()) {
      const some = this.#next(refused);
      const results = await Promise.allSettled(some.map(put));
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
    }
    return first;
  }

  /** The blocks that are stored next; their tenants go to the end of the line. */
  #next(refused: ReadonlySet<string>): Block[] {
    const some: Block[] = [];
    for (let depth = 0, before = -1; some.length > before && some.length < UNDER_WAY; depth++) {
      before = some.length;
      for (const [tenant_id, { blocks }] of this.#tenants) {
        const block = refused.has(tenant_id) ? undefined : blocks[depth];
        if (block !== undefined) some.push(block);
        if (some.length === UNDER_WAY) break;
      }
    }
    for (const { tenant_id } of some) {
      const tenant = this.#tenants.get(tenant_id)!;
      this.#tenants.delete(tenant_id);
      this.#tenants.set(tenant_id, tenant);
    }
    return some;
  }

  /** Whether it still waited. */
  #remove(block: Block): boolean {
    const tenant = this.#tenants.get(block.tenant_id);
    const at = tenant?.blocks.indexOf(block) ?? -1;
    if (tenant === undefined || at < 0) return false;
    tenant.blocks.splice(at, 1);
    tenant.bytes -= block.payload.length;
    this.#bytes -= block.payload.length;
    if (tenant.blocks.length === 0) this.#tenants.delete(block.tenant_id);
    return true;
  }
}
