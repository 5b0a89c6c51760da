/**
 * The ledgers of ended Shields, from their stored blocks: the same rows as in memory, for the same requests. It reads a
 * limited number of bytes. `shared/lives/` has the running Shields.
 */
import { readBlocks } from "../../shared/blocks/read_blocks.ts";
import type { Env } from "../../shared/env.ts";
import type { BlockStore } from "../../shared/spine/contract/block_store.ts";
import { endOf, type Life, silentMs } from "../../shared/lives/life.ts";
import type { LostShield } from "./history.ts";
import type { Segment } from "./ledger.ts";
import type { LedgerSource } from "./scan.ts";
import { type ReadBlock, readBlock } from "./stored_block.ts";
import { ArqonError } from "@arqon/proto";
import { FairQueue } from "../../shared/turns/fair_queue.ts";
import { type Registry, scraped } from "../../shared/metrics/metrics.ts";

const PAGE_BLOCKS = 64;
const READ_BYTES = 33_554_432;
/** The most Shields in the answer to one request; others are reported as omitted. */
const FORMER_MAX = 64;
/** The most that a block may be stored before the Shield's time, in ms, as clocks differ. */
const CLOCK_SKEW_MS = 60_000;

/** The stores that former ledgers are read from. */
export interface FormerReading extends Pick<Env, "now"> {
  readonly store: () => Promise<Pick<BlockStore, "read">>;
  readonly lives: () => Promise<readonly Life[]>;
  /** The queue of readers. */
  readonly reads: Pick<FairQueue, "enter">;
  /** The retention of a ledger, in ms. */
  readonly kept_ms: number;
}

/** The stored ledger of one incarnation of a Shield. */
export interface FormerLedger extends LedgerSource {
  readonly node_id: string;
  readonly life_ms: number;
  /** The time from which it is complete, and the time up to which, Unix ms. */
  readonly since_ms: number;
  readonly until_ms: number;
  /** The time by which the Shield had ended, Unix ms. */
  readonly by_ms: number;
  readonly state: "ended" | LostShield["why"];
}

/** The read ledgers. */
export interface Former {
  readonly ledgers: readonly FormerLedger[];
  /** Whether there was more than one request may read. */
  readonly truncated: boolean;
}

/** The name of a Shield's incarnation. */
export const lifeName = (node_id: string, life_ms: number): string => `${node_id} ${life_ms}`;

/**
 * Reads the ledgers of a tenant of all incarnations that have not `answered`; if there are any, after `enter`. Rejects
 * with errors of the store, the incarnations and `enter`.
 */
export async function readFormer(
  { store, lives, kept_ms, now }: Omit<FormerReading, "reads">,
  tenant_id: string,
  answered: ReadonlySet<string>,
  enter: () => Promise<unknown>,
): Promise<Former> {
  const all = await lives();
  const oldest_ms = now() - kept_ms;
  const gone = all.filter((life) =>
    life.parts.ledger !== undefined && silentMs(life, now()) <= kept_ms &&
    !answered.has(lifeName(life.node_id, life.began_ms))
  );
  if (gone.length === 0) return { ledgers: [], truncated: false };
  await enter();
  const newest = gone.slice(-FORMER_MAX);
  const names = new Set(newest.map(({ node_id, began_ms }) => lifeName(node_id, began_ms)));
  const { blocks, truncated } = await readFormerBlocks(await store(), tenant_id, names, oldest_ms);
  const ledgers = newest.map((life) => {
    const own = [...blocks.get(lifeName(life.node_id, life.began_ms))?.values() ?? []];
    return ledgerOf(life, own, tenant_id, { all, now_ms: now(), oldest_ms, truncated });
  });
  return { ledgers, truncated: truncated || newest.length < gone.length };
}

/** The blocks of those incarnations, each once, by their numbers; beyond the limit the newest are omitted. */
async function readFormerBlocks(
  store: Pick<BlockStore, "read">,
  tenant_id: string,
  names: ReadonlySet<string>,
  oldest_ms: number,
) {
  const blocks = new Map<string, Map<number, ReadBlock>>();
  let bytes = 0;
  const from_ms = Math.max(0, oldest_ms - CLOCK_SKEW_MS);
  const stored = readBlocks(store, { tenant_id, from_ms, limit: PAGE_BLOCKS });
  for await (const { node_id, payload } of stored) {
    if (bytes >= READ_BYTES) return { blocks, truncated: true };
    bytes += payload.length;
    const block = readBlock(payload);
    const name = block === undefined ? "" : lifeName(node_id, block.life_ms);
    if (block === undefined || !names.has(name)) continue;
    const own = blocks.get(name) ?? new Map<number, ReadBlock>();
    blocks.set(name, own.set(block.number, block));
  }
  return { blocks, truncated: false };
}

function ledgerOf(
  life: Life,
  blocks: ReadBlock[],
  tenant_id: string,
  { all, now_ms, oldest_ms, truncated }: {
    readonly all: readonly Life[];
    readonly now_ms: number;
    readonly oldest_ms: number;
    /** Whether the last blocks were not read. */
    readonly truncated: boolean;
  },
): FormerLedger {
  blocks.sort((a, b) => a.number - b.number);
  const { node_id, began_ms: life_ms } = life;
  const end = endOf(life, all, now_ms);
  let since_ms = Math.max(life_ms, oldest_ms);
  let number = 0;
  let until_ms = truncated ? life_ms : life.parts.ledger?.until_ms ?? life_ms;
  for (const block of blocks) {
    // Missing earlier blocks have expired, exceeded the tenant's limit, or were removed.
    if (block.number > number) since_ms = Math.max(since_ms, block.from_ms);
    number = block.number + 1;
    since_ms = Math.max(since_ms, block.since_ms);
    until_ms = Math.max(until_ms, block.until_ms);
  }
  const is_whole = life.parts.ledger?.is_over === true;
  const state = end.how === "lives" ? "silent" : is_whole ? "ended" : "killed";
  const by_ms = end.how === "lives" ? now_ms : Math.max(until_ms, end.by_ms);
  const about = { node_id, life_ms, since_ms, until_ms, by_ms, state } as const;
  return { ...about, segments: blocks.map(segmentOf), rooms: roomsOf(blocks, tenant_id) };
}

/** A block as a segment of a ledger in memory. Its first row has the position and time of its rows. */
function segmentOf({ rows, number, from_ms }: ReadBlock): Segment {
  return {
    bytes: rows,
    view: new DataView(rows.buffer),
    number,
    start_ms: from_ms,
    first_position: 0,
    used: rows.length,
    place: { segment: undefined },
  };
}

function roomsOf(blocks: readonly ReadBlock[], tenant_id: string): LedgerSource["rooms"] {
  const rooms = new Map(blocks.flatMap((block) => block.rooms));
  return {
    of(number) {
      const room_id = rooms.get(number);
      return room_id === undefined ? undefined : { tenant_id, room_id };
    },
    numbersOf: (tenant, room_id) =>
      tenant !== tenant_id
        ? []
        : [...rooms].flatMap(([number, name]) => name === room_id ? [number] : []),
  };
}

/** The most waiting requests; more would wait in vain. */
const WAITING_MAX = 64;
const RETRY_MS = 1_000;

/** The limits, by their keys in `[ledger]`. */
interface ReadBounds {
  /** The most requests that read at a time. */
  readonly store_reads: number;
  /** How long a request waits for its turn, in ms. */
  readonly store_wait_ms: number;
}

/** The queue of the requests that read stored ledgers in one process. */
export function storeReads({ store_reads, store_wait_ms }: ReadBounds): FairQueue {
  const bounds = { running_max: store_reads, waiting_max: WAITING_MAX, wait_ms: store_wait_ms };
  return new FairQueue(bounds);
}

/** The refusal after a timeout, or if too many wait. */
export function tooManyReads(): ArqonError {
  const detail = "others read stored ledgers already (ledger.store_reads)";
  return new ArqonError("too-many-pending", detail, { retry_after_ms: RETRY_MS });
}

/** Registers running, waiting and refused reads. */
export function registerReads(registry: Registry, reads: FairQueue): void {
  scraped(registry, {
    "shield_ledger_reads": ["Requests that are reading stored ledgers.", () => reads.running],
    "shield_ledger_reads_waiting": [
      "Requests that wait for their turn to read stored ledgers.",
      () => reads.waiting,
    ],
    "shield_ledger_reads_refused_total": [
      "Requests that were refused because too many read stored ledgers.",
      () => reads.refused,
    ],
  });
}
