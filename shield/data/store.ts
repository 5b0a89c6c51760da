/**
 * The interface of a store, and the stores of blocks: journal, usage and deliveries. A tenant's blocks are deleted as a
 * whole. A user shares blocks with others, so the journal deletes the user's keys, which makes the user's sections
 * unreadable.
 */
import { BLOCK_STREAMS } from "../../shared/spine/contract/block_store.ts";
import type { KeptBlocks } from "../capability.ts";

/** The owner of the data, and the selected part; without user and room, all data of the tenant. */
export interface Whose {
  readonly tenant: string;
  readonly user?: string | undefined;
  readonly room?: string | undefined;
  readonly offset?: number | undefined;
  /** Allows erasing everything of the room up to the message, in logs that cannot remove single messages. */
  readonly through?: boolean | undefined;
}

/** The amount of data in a store. */
export interface Stock {
  /** The stream or the file, as an operator finds it. */
  readonly where: string;
  /** Messages, entries or blocks. */
  readonly count: number;
  readonly bytes: number;
  /** The part that an erasure keeps, and why; absent: nothing. */
  readonly stays?: string;
}

/** One store of the bus. */
export interface DataStore {
  readonly name: string;
  /** Undefined: it has no personal data; rejects as the Spine does. */
  stock(whose: Whose): Promise<Stock | undefined>;
  /** Lines of NDJSON without the newline. */
  lines(whose: Whose): AsyncIterable<string>;
  erase(whose: Whose, brainOf: BrainOf): Promise<number>;
}

/** The id of a Brain that erases Brain-owned data; undefined: none answers. */
export type BrainOf = () => Promise<string | undefined>;

/** Exports nothing: an erased user's part is unreadable, and other commands export the rest. */
export async function* nothing(): AsyncGenerator<string> {}

const isUser = ({ user, room, offset }: Whose): boolean =>
  user !== undefined && room === undefined && offset === undefined;

/** Whether the whole tenant is selected. */
export const isTenant = ({ user, room }: Whose): boolean =>
  user === undefined && room === undefined;

/** The data store of a capability's blocks. */
export function blockStore({ name, open, stays, eraseUser, eraseBeside }: KeptBlocks): DataStore {
  return {
    name,
    async stock(whose) {
      const { blocks: count, bytes } = await (await open()).status(whose.tenant);
      if (count === 0) return undefined;
      const stock = { where: BLOCK_STREAMS[name], count, bytes };
      if (isTenant(whose)) return stock;
      const without_keys =
        "decisions without user, address and payload: the user's keys are deleted";
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
      await eraseBeside?.(whose.tenant);
      return blocks;
    },
  };
}
