/**
 * What a bus keeps of tenants and users, as one list: what each store has of somebody, and how that is removed. Whatever
 * is kept somewhere else is in `KEPT`, with the reason.
 */
import type { ClusterAsker } from "../../shared/cluster/cluster_asker.ts";
import type { Env } from "../../shared/env.ts";
import type { KeptBlocks } from "../capability.ts";
import type { Logs } from "../message/logs.ts";
import { bucketStores } from "./buckets.ts";
import { blockStore } from "./blocks.ts";
import { messageStore } from "./messages.ts";
import { snapshotStore } from "./snapshots.ts";

/** Who, and what of it; a tenant's all when there is neither user nor room. */
export interface Whose {
  readonly tenant: string;
  readonly user?: string | undefined;
  readonly room?: string | undefined;
  /** One message of the room. */
  readonly offset?: number | undefined;
  /** Where a log removes no single messages, everything of the room up to them goes. */
  readonly through?: boolean | undefined;
}

/** What a store has of somebody. */
export interface Stock {
  /** The stream or the file, as an operator finds it. */
  readonly where: string;
  /** Messages, entries or blocks. */
  readonly count: number;
  readonly bytes: number;
  /** What of it stays when it is erased, and why; absent: nothing. */
  readonly stays?: string;
}

/** One store of the bus. */
export interface DataStore {
  readonly name: string;
  /** Undefined: it has nothing that could be somebody's; rejects as the Spine does. */
  stock(whose: Whose): Promise<Stock | undefined>;
  /** Lines of NDJSON without the newline. */
  lines(whose: Whose): AsyncIterable<string>;
  /** Removes it, and tells how much that was. */
  erase(whose: Whose, brainOf: BrainOf): Promise<number>;
}

/** The id of a Brain that erases what only Brains may write; undefined: none answers. */
export type BrainOf = () => Promise<string | undefined>;

/** What the stores are found by. */
export interface StoresContext extends Pick<Env, "spine"> {
  readonly logs: Pick<Logs, "of" | "has">;
  /** Asks a Brain to erase what only Brains may write; undefined: nothing asks. */
  readonly asker: Pick<ClusterAsker, "ask" | "hello"> | undefined;
  /** What the capabilities of this Shield keep. */
  readonly blocks: readonly KeptBlocks[];
}

/** All of them; what was removed from files is gone once `Spine.scrub` has run. */
export function dataStores(context: StoresContext): readonly DataStore[] {
  const { blocks, spine, asker } = context;
  return [
    messageStore(context),
    ...blocks.map(blockStore),
    snapshotStore(spine),
    ...bucketStores(spine, asker),
  ];
}

/** What nobody erases by this, and until when it is there. */
export const KEPT: Readonly<Record<string, string>> = {
  audit:
    "who did what on the admin API stays for [audit] retention_days, for it is the proof of this erasure, too",
  "transparency logs":
    "hash, offset and time of each message stay, for they prove what was; payloads are not in them",
  backups:
    "arq backup and arq standby have their own copies: delete them, or erase again after a restore",
  mirrors: "buses and tools that a mirror, a hook or a bridge has sent it to have their own copies",
};
