/**
 * Blocks of the journal, of use and of deliveries. A tenant's go whole; of a user, whose blocks are others', too, the
 * journal forgets the keys, so that nobody can read what it says of the user.
 */
import { BLOCK_STREAMS } from "../../shared/spine/contract/block_store.ts";
import type { BlockStore, BlockStoreName } from "../../shared/spine/contract/block_store.ts";
import type { JournalPlace } from "../journal/place.ts";
import type { DataStore, Whose } from "./stores.ts";

/** A store of blocks that this Shield keeps. */
export interface KeptBlocks {
  readonly name: BlockStoreName;
  readonly open: () => Promise<BlockStore>;
  /** What stays of a user or a room, and until when. */
  readonly stays: string;
}

/** Nothing of it is exported: who was erased there is not readable, and the rest has commands of its own. */
async function* nothing(): AsyncGenerator<string> {}

const isUser = ({ user, room, offset }: Whose): boolean =>
  user !== undefined && room === undefined && offset === undefined;

/** Whether the whole tenant is meant. */
export const isTenant = ({ user, room }: Whose): boolean =>
  user === undefined && room === undefined;

/** One of them; `keys` are the journal's. */
export function blockStore(
  { name, open, stays }: KeptBlocks,
  keys?: Pick<JournalPlace, "keys" | "max_age_ms">,
): DataStore {
  return {
    name,
    async stock(whose) {
      const { blocks: count, bytes } = await (await open()).status(whose.tenant);
      if (count === 0) return undefined;
      const stock = { where: BLOCK_STREAMS[name], count, bytes };
      if (isTenant(whose)) return stock;
      const without_keys = "decisions without user, address and payload: the user's keys go";
      return { ...stock, stays: keys !== undefined && isUser(whose) ? without_keys : stays };
    },
    lines: nothing,
    async erase(whose) {
      if (keys !== undefined && isUser(whose)) {
        return await (await keys.keys()).erase(whose.tenant, whose.user ?? "", keys.max_age_ms);
      }
      if (!isTenant(whose)) return 0;
      const store = await open();
      const { blocks } = await store.status(whose.tenant);
      await store.purge(whose.tenant);
      return blocks;
    },
  };
}
