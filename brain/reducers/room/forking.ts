/**
 * Begins a room with the past of another one of its tenant: the record of the new room names the other one and an
 * entry, and is all that is written. The state is read when the new room is called first, and is its own with its
 * first snapshot. The other room learns nothing of it.
 */
import { ArqonError } from "@arqon/proto";
import { encodeRecord, type RoomRecord } from "../../../shared/records/reducer_record.ts";
import type { PastAsk } from "../../../shared/records/reducer_past.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import type { ReducedPlace, RoomParts } from "./loaded_room.ts";
import { isReachable, newestEntry, openPast } from "./past.ts";
import { unreadable } from "./reading.ts";

/** No event of the past is behind this: what the other room published is not published again. */
const EVENTS_END = 4_294_967_295;

type ForkAsk = Extract<PastAsk, { action: "fork" }>;

/** A room whose record is known. */
interface KnownRoom {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly record: Pick<RoomRecord, "fork" | "snapshot">;
}

/** Forks without a snapshot of their own that read a room's past, be it by way of other forks. */
export function forksOf(
  { tenant_id, room_id }: Pick<ReducedPlace, "tenant_id" | "room_id">,
  known: Iterable<KnownRoom>,
): string[] {
  const sources = new Map<string, string>();
  const young = new Set<string>();
  for (const { tenant_id: tenant, room_id: fork, record } of known) {
    if (tenant !== tenant_id || !record.fork) continue;
    sources.set(fork, record.fork.room_id);
    if (record.snapshot === "") young.add(fork);
  }
  const reads = (fork: string): boolean => {
    const passed = new Set<string>();
    for (let at = sources.get(fork); at !== undefined && !passed.has(at); at = sources.get(at)) {
      if (at === room_id) return true;
      passed.add(at);
    }
    return false;
  };
  return [...young].filter(reads);
}

/** The entry that the fork begins behind. Rejects when it is not there, or what the room was then is not kept. */
async function entryOf(
  source: ReducedPlace,
  { offset, time_ms }: ForkAsk,
  parts: RoomParts,
): Promise<number> {
  if (time_ms !== undefined) {
    const past = await openPast(source, { offset: Infinity, time_ms }, parts);
    parts.host.close(past.handle);
    return past.next?.entry.offset ?? past.standing.offset;
  }
  const newest = await newestEntry(source, parts);
  const wanted = offset ?? newest;
  if (wanted > newest) {
    const detail = `${source.room_id} has no entry ${wanted} yet: its last is ${newest}`;
    throw new ArqonError("invalid-command", detail);
  }
  if (await isReachable(source, wanted, parts)) return wanted;
  throw unreadable(`what ${source.room_id} was then is not kept`);
}

async function recordFor(
  at: ReducedPlace,
  source: ReducedPlace,
  ask: ForkAsk,
  parts: RoomParts,
): Promise<RoomRecord> {
  const offset = await entryOf(source, ask, parts);
  const fork = { room_id: source.room_id, offset, with_timers: ask.with_timers };
  const { stream } = await parts.openLog(at.tenant_id);
  return {
    ...{ snapshot: "", previous: "", points: "", offset, stream, position: 0, fork, lost: [] },
    published: { offset, index: EVENTS_END },
    // So its owner reads it soon, learns of its timers, and stores it when nobody calls it for long.
    ...{ is_behind: true, behind_ms: parts.now(), next_ms: null },
  };
}

/** Begins it. Rejects with `invalid-command` when the room has begun already, or the entry is not there. */
export async function forkRoom(
  at: ReducedPlace,
  source: ReducedPlace,
  ask: ForkAsk,
  parts: RoomParts,
): Promise<object> {
  const { tenant_id, room_id } = at;
  const begun = () => new ArqonError("invalid-command", `${room_id} has begun already`);
  if (await parts.records.get([tenant_id, room_id]) !== undefined) throw begun();
  const record = await recordFor(at, source, ask, parts);
  try {
    await parts.records.update([tenant_id, room_id], encodeRecord(record), 0);
  } catch (error) {
    throw isConflict(error) ? begun() : error;
  }
  return { source: source.room_id, offset: record.offset, with_timers: ask.with_timers };
}
