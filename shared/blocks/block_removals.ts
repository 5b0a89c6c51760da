/**
 * Removes what a node has stored of deleted tenants. Each node removes its own blocks, as it alone knows which of them
 * are of the deleted tenant: those of other nodes may already be of a successor of the same name. Blocks of nodes that
 * have ended go with the erasure itself (`shield/data/store.ts`).
 */
import { BoundedMap } from "../containers/bounded_map.ts";
import type { BlockStore } from "../spine/contract/block_store.ts";

/** The most tenants with a refused removal; blocks of one more stay until their age. */
const REFUSED_MAX = 1_000;

/** The removals of one writer. */
export class BlockRemovals {
  readonly #running = new Map<string, Promise<void>>();
  /** What the store has refused, to be tried again. */
  readonly #refused = new BoundedMap<string, () => Promise<void>>(REFUSED_MAX);

  get is_idle(): boolean {
    return this.#running.size === 0;
  }

  get is_due(): boolean {
    return this.#refused.size > 0;
  }

  /** Whether blocks of the tenant must wait: they are of its successor, and a removal would take them, too. */
  has(tenant_id: string): boolean {
    return this.#running.has(tenant_id) || this.#refused.get(tenant_id) !== undefined;
  }

  /** Tries refused removals again; `ended` is called after each. */
  retry(ended: () => void = () => {}): void {
    for (const [tenant_id, run] of [...this.#refused]) {
      this.#refused.delete(tenant_id);
      // The first refusal was reported; it is tried until it succeeds.
      run().catch(() => {}).finally(ended);
    }
  }

  /** Removes the node's blocks of the tenant after the appends under way, which would follow. Rejects as the store. */
  async run(
    tenant_id: string,
    node_id: string,
    appends: readonly (Promise<unknown> | undefined)[],
    store: () => Promise<Pick<BlockStore, "newest" | "remove">>,
  ): Promise<void> {
    this.#refused.delete(tenant_id);
    const under_way = Promise.allSettled([this.#running.get(tenant_id), ...appends]);
    const running = under_way.then(async () => {
      const there = await store();
      const newest = await there.newest(tenant_id, node_id);
      if (newest !== undefined) await there.remove(tenant_id, node_id, newest.cursor + 1);
    });
    this.#running.set(tenant_id, running);
    try {
      await running;
    } catch (error) {
      this.#refused.set(tenant_id, () => this.run(tenant_id, node_id, [], store));
      throw error;
    } finally {
      if (this.#running.get(tenant_id) === running) this.#running.delete(tenant_id);
    }
  }
}
