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

/** The last block that was taken. Times are Unix ms by the clock of the store. */
export interface LastBlock {
  readonly cursor: number;
  readonly time_ms: number;
  /** The newest time of this block and those before it: the clock may have been set back between them. */
  readonly newest_ms: number;
}

/** The position after that block; `before`: the position until then, absent for the first block. */
export function takenBlock({ cursor, time_ms }: StoredBlock, before?: LastBlock): LastBlock {
  return { cursor, time_ms, newest_ms: Math.max(time_ms, before?.newest_ms ?? time_ms) };
}

/**
 * Whether the store is another one than the position's; `there`: its first block from the position's cursor on. A block
 * that has expired or was removed tells nothing: then something stored later must have a higher cursor. Rejects as the
 * store.
 */
export async function isOtherStore(
  store: Pick<BlockStore, "read">,
  tenant_id: string,
  { cursor, time_ms, newest_ms }: LastBlock,
  there: StoredBlock | undefined,
): Promise<boolean> {
  if (there?.cursor === cursor) return there.time_ms !== time_ms;
  const { blocks: [later] } = await store.read({ tenant_id, from_ms: newest_ms + 1, limit: 1 });
  return later !== undefined && later.cursor < cursor;
}
