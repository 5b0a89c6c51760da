/**
 * Blocks of the journal, of usage and of deliveries. A tenant's are deleted whole; for a user, who shares blocks with
 * others, the journal deletes the keys, so that nobody can read the user's sections.
 */
import { BLOCK_STREAMS } from "../../shared/spine/contract/block_store.ts";
import type { KeptBlocks } from "../capability.ts";
import type { DataStore, Whose } from "./stores.ts";

/** Exports nothing: an erased user's part is unreadable, and the rest has commands of its own. */
async function* nothing(): AsyncGenerator<string> {}

const isUser = ({ user, room, offset }: Whose): boolean =>
  user !== undefined && room === undefined && offset === undefined;

/** Whether the whole tenant is meant. */
export const isTenant = ({ user, room }: Whose): boolean =>
  user === undefined && room === undefined;

/** One of them. */
export function blockStore({ name, open, stays, eraseUser }: KeptBlocks): DataStore {
  return {
    name,
    async stock(whose) {
      const { blocks: count, bytes } = await (await open()).status(whose.tenant);
      if (count === 0) return undefined;
      const stock = { where: BLOCK_STREAMS[name], count, bytes };
      if (isTenant(whose)) return stock;
      const without_keys = "decisions without user, address and payload: the user's keys go";
      return { ...stock, stays: eraseUser !== undefined && isUser(whose) ? without_keys : stays };
    },
    lines: nothing,
    async erase(whose) {
      if (eraseUser !== undefined && isUser(whose)) {
        return await eraseUser(whose.tenant, whose.user ?? "");
      }
      if (!isTenant(whose)) return 0;
      const store = await open();
      const { blocks } = await store.status(whose.tenant);
      await store.purge(whose.tenant);
      return blocks;
    },
  };
}
