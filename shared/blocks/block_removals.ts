/**
 * Removes what a node has stored of deleted tenants. Each node removes its own blocks, as it alone knows which of them
 * are of the deleted tenant: those of other nodes may already be of a successor of the same name. Blocks of nodes that
 * have ended go with the erasure itself (`shield/data/store.ts`).
 */
import type { BlockStore } from "../spine/contract/block_store.ts";

/** The removals of one writer. */
export class BlockRemovals {
  readonly #running = new Map<string, Promise<void>>();

  get is_idle(): boolean {
    return this.#running.size === 0;
  }

  /** Whether blocks of the tenant must wait: they are of its successor, and a removal would take them, too. */
  has(tenant_id: string): boolean {
    return this.#running.has(tenant_id);
  }

  /** Removes the node's blocks of the tenant after the appends under way, which would follow. Rejects as the store. */
  async run(
    tenant_id: string,
    node_id: string,
    appends: readonly (Promise<unknown> | undefined)[],
    store: () => Promise<Pick<BlockStore, "newest" | "remove">>,
  ): Promise<void> {
    const under_way = Promise.allSettled([this.#running.get(tenant_id), ...appends]);
    const running = under_way.then(async () => {
      const there = await store();
      const newest = await there.newest(tenant_id, node_id);
      if (newest !== undefined) await there.remove(tenant_id, node_id, newest.cursor + 1);
    });
    this.#running.set(tenant_id, running);
    try {
      await running;
    } finally {
      if (this.#running.get(tenant_id) === running) this.#running.delete(tenant_id);
    }
  }
}
