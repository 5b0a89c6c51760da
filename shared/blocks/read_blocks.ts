/** Reads a tenant's blocks in order, each in a slice of the tenant, because decoding one may take milliseconds. */
import type { BlockRead, BlockStore, StoredBlock } from "../spine/contract/block_store.ts";
import { slice } from "../turns/slices.ts";

/** The blocks that there are, the oldest first, in pages of `limit`. Rejects as the store. */
export async function* readBlocks(
  store: Pick<BlockStore, "read">,
  read: BlockRead,
): AsyncGenerator<StoredBlock, void, void> {
  const { tenant_id, limit } = read;
  for (let place = read;;) {
    const { blocks, is_end } = await store.read(place);
    for (const block of blocks) {
      await slice(tenant_id);
      yield block;
    }
    const last = blocks.at(-1);
    if (is_end || last === undefined) return;
    place = { tenant_id, limit, after: last.cursor };
  }
}
