/** Reads a tenant's blocks one after the other, page by page, so that the thread is free between them. */
import type { BlockRead, BlockStore, StoredBlock } from "../spine/contract/block_store.ts";
import { turn } from "../turns/next_turn.ts";

/** How blocks are read: pages of `limit` blocks. */
export interface BlocksRead extends BlockRead {
  /** Blocks after which others have a turn; absent: those of a page. */
  readonly slice?: number;
}

/** The blocks that there are, the oldest first. Rejects as the store. */
export async function* readBlocks(
  store: Pick<BlockStore, "read">,
  { slice, ...read }: BlocksRead,
): AsyncGenerator<StoredBlock, void, void> {
  const { tenant_id, limit } = read;
  for (let place = read, looked = 0;;) {
    const { blocks, is_end } = await store.read(place);
    for (const block of blocks) {
      yield block;
      if (++looked % (slice ?? limit) === 0) await turn();
    }
    const last = blocks.at(-1);
    if (is_end || last === undefined) return;
    place = { tenant_id, limit, after: last.cursor };
  }
}
