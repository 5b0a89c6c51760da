/**
 * Creates a room from the past of another one of its tenant: the new room's record names the other room and an entry,
 * and nothing else is written. The state is read at the first call of the new room, and is its own after its first
 * snapshot. The other room is not notified.
 */
import { ArqonError } from "@arqon/proto";
import { encodeRecord, NO_PROGRAMS } from "../../../shared/records/reducer_record.ts";
import type { RoomRecord } from "../../../shared/records/reducer_record.ts";
import { connectionId } from "../../../shared/ids.ts";
import type { PastAsk } from "../../../shared/records/reducer_past.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import { EVENTS_END } from "../log/batch.ts";
import type { ReducedPlace, RoomParts } from "./loaded_room.ts";
import { isReachable, newestEntry, openPast } from "./past.ts";
import { firstRecord, recordOf, unreadable } from "./stored_data.ts";

type ForkAsk = Extract<PastAsk, { action: "fork" }>;

/** What every Brain keeps of each called room, whoever owns it: little, since it keeps all of them. */
export interface KnownRoom extends Pick<RoomRecord, "is_behind" | "next_ms" | "fork"> {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly is_stored: boolean;
}

/** The part of a room's record that every Brain keeps. */
export function knownRoom(tenant_id: string, room_id: string, record: RoomRecord): KnownRoom {
  const { is_behind, next_ms, fork, snapshot } = record;
  return { tenant_id, room_id, is_behind, next_ms, fork, is_stored: snapshot !== "" };
}

/** The rooms whose past a fork without a snapshot reads: its source, the source of that, and so on, each once. */
export function* sourcesOf(
  fork: string,
  sourceOf: (room_id: string) => string | undefined,
): Generator<string> {
  const passed = new Set<string>();
  for (let at = sourceOf(fork); at !== undefined && !passed.has(at); at = sourceOf(at)) {
    passed.add(at);
    yield at;
  }
}

/** Forks without a snapshot that read a room's past, directly or through other forks. */
export function forksOf(
  { tenant_id, room_id }: Pick<ReducedPlace, "tenant_id" | "room_id">,
  known: Iterable<KnownRoom>,
): string[] {
  const forks = new Map<string, string[]>();
  const young: string[] = [];
  for (const { tenant_id: tenant, room_id: name, fork, is_stored } of known) {
    if (tenant !== tenant_id || !fork) continue;
    forks.getOrInsertComputed(fork.room_id, () => []).push(name);
    if (!is_stored) young.push(name);
  }
  // From the room to its forks, each once: forks of forks may be a long chain.
  const found = new Set<string>(forks.get(room_id));
  for (const name of found) for (const fork of forks.get(name) ?? []) found.add(fork);
  return young.filter((name) => found.has(name));
}

/** The entry at which the fork begins. Rejects if it does not exist, or the state then is not retained. */
async function entryOf(
  source: ReducedPlace,
  { offset, time_ms }: ForkAsk,
  parts: RoomParts,
): Promise<number> {
  const newest = await newestEntry(source, parts);
  if (newest === 0) {
    throw new ArqonError("invalid-command", `${source.room_id} has no entry: nobody has called it`);
  }
  if (time_ms !== undefined) {
    const past = await openPast(source, { offset: Infinity, time_ms }, parts);
    parts.host.close(past.handle);
    return past.next?.entry.offset ?? past.standing.offset;
  }
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
  const { life = "" } = await recordOf(source, parts) ?? {};
  const fork = { room_id: source.room_id, offset, with_timers: ask.with_timers, life };
  const durable = await parts.openLog(at.tenant_id);
  return {
    // The owner reads the fork soon, sees its timers, and stores it if it stays idle.
    ...firstRecord(durable, connectionId(parts.random)),
    offset,
    fork,
    // Events of the other room are not published again.
    published: { offset, index: EVENTS_END },
    programs: { ...NO_PROGRAMS, from: offset },
  };
}

/** Creates the fork. Rejects with `invalid-command` if the room exists, or the entry does not. */
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
