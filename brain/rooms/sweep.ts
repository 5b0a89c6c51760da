/**
 * Sweeps the stored rooms that this Brain owns: ends empty and idle ones, publishes changes that a previous owner left
 * unpublished, and finds members without a room. So rooms survive their Brains, and still end. The idle time is
 * measured by this Brain (`last_use.ts`).
 */
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KvKey } from "../../shared/spine/contract/spine.ts";
import type { RoomReports } from "../capability.ts";
import type { ClusterView, RoomAddress } from "../cluster_view.ts";
import type { BirthQueue } from "./lives/births.ts";
import { isPageKey, isRoomKey, removeLeftOver, removePages } from "./store/command_pages.ts";
import type { RoomDocument } from "./store/document.ts";
import type { LastUse } from "./room/last_use.ts";
import type { Leases } from "./locks/leases.ts";
import { liveLock } from "./locks/lock.ts";
import { loadRoom, roomKey } from "./store/room_store.ts";
import type { Stored } from "./store/room_store.ts";
import type { Doubts } from "./lives/doubts.ts";
import type { RoomContext } from "./room/room.ts";
import type { RoomTable } from "./room/room_table.ts";
import type { RoomTally } from "./room/room_tally.ts";
import { ENTRY_BYTES } from "./store/tenant_bytes.ts";

/** The dependencies of a sweep. */
export interface SweepOptions {
  readonly context: RoomContext;
  readonly leases: Pick<Leases, "current" | "keepOnly">;
  readonly view: ClusterView;
  readonly table: RoomTable;
  readonly tally: RoomTally;
  /** All keys of the bucket; counts their bytes, too. */
  readonly listKeys: () => Promise<KvKey[]>;
  readonly last_use: LastUse;
  readonly reports: RoomReports | undefined;
  /** How long a room may be idle, in ms; 0: rooms never end. */
  readonly idle_timeout_ms: number;
  readonly doubts: Pick<Doubts, "add" | "size">;
}

/** Rooms checked concurrently. */
const CONCURRENCY = 4;
/** Rooms between two pauses, and the pause in ms: at most 2,000 rooms a second. */
const CHUNK_ROOMS = 200;
const CHUNK_REST_MS = 100;

const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, CHUNK_REST_MS));

function mayEnd(at: RoomAddress, { lock }: RoomDocument, options: SweepOptions): boolean {
  const { context, leases, last_use, view, idle_timeout_ms, table } = options;
  return last_use.idleMs(at) >= idle_timeout_ms &&
    liveLock(lock && leases.current(at, lock), context.now()) === undefined &&
    view.count(at.tenant_id, at.room_id).connections === 0 &&
    view.isFresh() && context.isOwner(at) && !table.isBusy(at);
}

async function end(at: RoomAddress, stored: Stored, options: SweepOptions): Promise<void> {
  const { context, table, tally, reports } = options;
  try {
    await context.bucket.delete(roomKey(at), stored.revision);
  } catch (error) {
    // The room was used meanwhile: it does not end.
    if (isConflict(error)) return;
    throw error;
  }
  await removePages(at, stored.document.pages, context.bucket);
  context.bytes.add(at.tenant_id, -(stored.size_bytes + ENTRY_BYTES));
  context.onSeen(at, undefined);
  context.metrics.rooms_ended.inc();
  tally.note(at, false);
  table.forget(at);
  reports?.look(at);
  context.announcer.ended(at, stored.document);
}

async function visit(at: RoomAddress, options: SweepOptions): Promise<void> {
  const { context, view, last_use, idle_timeout_ms, table, doubts } = options;
  // The running commands may have written a change that they will publish.
  if (table.isBusy(at)) return doubts.add(at);
  const stored = await loadRoom(at, context);
  const is_settled = await options.reports?.settle(at, stored) ?? true;
  if (stored.revision === 0 || idle_timeout_ms === 0) return;
  if (view.count(at.tenant_id, at.room_id).connections > 0) last_use.note(at);
  if (is_settled && mayEnd(at, stored.document, options)) await end(at, stored, options);
}

async function visitAll(
  rooms: readonly RoomAddress[],
  options: SweepOptions,
): Promise<void> {
  const { context } = options;
  const { isStopping, metrics, log } = context;
  let index = 0;
  const worker = async (end_index: number): Promise<void> => {
    while (index < end_index && !isStopping()) {
      const at = rooms[index++];
      if (at === undefined || !context.isOwner(at)) continue;
      try {
        await visit(at, options);
      } catch (error) {
        metrics.lifecycle_refused.inc({ reason: "failed" });
        log.warn("a room was not swept", { tenant_id: at.tenant_id, room: at.room_id, error });
      }
    }
  };
  while (index < rooms.length && !isStopping()) {
    const end_index = Math.min(index + CHUNK_ROOMS, rooms.length);
    await Promise.all(Array.from({ length: CONCURRENCY }, () => worker(end_index)));
    if (index < rooms.length) await rest();
  }
}

/** Sweeps all rooms once. Rejects if the bucket cannot be listed. */
export async function sweepRooms(
  options: SweepOptions,
  births: Pick<BirthQueue, "add">,
): Promise<void> {
  const { context, leases, last_use, view, tally } = options;
  const keys = await tally.recount(options.listKeys);
  const stored = new Set<string>();
  const owned: RoomAddress[] = [];
  for (const [tenant_id = "", room_id = ""] of keys.filter(isRoomKey)) {
    const at = { tenant_id, room_id };
    if (!context.isOwner(at)) continue;
    owned.push(at);
    stored.add(`${tenant_id}.${room_id}`);
  }
  const isStored = (at: RoomAddress) => stored.has(`${at.tenant_id}.${at.room_id}`);
  // Drops rooms of other owners and deleted ones. A room created meanwhile counts from its next read.
  for (const each of [last_use, leases]) each.keepOnly(isStored);
  for (const at of view.occupied()) if (context.isOwner(at) && !isStored(at)) births.add(at);
  await visitAll(owned, options);
  await options.reports?.settleGone(isStored);
  for (const key of keys) {
    const [tenant_id = "", room_id = ""] = key;
    if (!isPageKey(key) || stored.has(`${tenant_id}.${room_id}`)) continue;
    if (context.isOwner({ tenant_id, room_id })) await removeLeftOver(key, context.bucket);
  }
}
