/**
 * Begins a room with the past of another one of its tenant: the record of the new room names the other one and an
 * entry, and is all that is written. The state is read when the new room is called first, and is its own with its
 * first snapshot. The other room learns nothing of it.
 */
import { ArqonError } from "@arqon/proto";
import { encodeRecord, type RoomRecord } from "../../../shared/records/reducer_record.ts";
import { NO_PROGRAMS } from "../../../shared/records/reducer_programs.ts";
import type { PastAsk } from "../../../shared/records/reducer_past.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import type { ReducedPlace, RoomParts } from "./loaded_room.ts";
import { isReachable, newestEntry, openPast } from "./past.ts";
import { unreadable } from "./reading.ts";

/** No event of the past is behind this: what the other room published is not published again. */
const EVENTS_END = 4_294_967_295;

type ForkAsk = Extract<PastAsk, { action: "fork" }>;

/** What a Brain knows of a room that somebody has called, whoever owns it: not more, since it knows all of them. */
export interface KnownRoom extends Pick<RoomRecord, "is_behind" | "next_ms" | "fork"> {
  readonly tenant_id: string;
  readonly room_id: string;
  /** Whether a snapshot of it is stored. */
  readonly is_stored: boolean;
}

/** What of a room's record is known all the time. */
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

/** Forks without a snapshot of their own that read a room's past, be it by way of other forks. */
export function forksOf(
  { tenant_id, room_id }: Pick<ReducedPlace, "tenant_id" | "room_id">,
  known: Iterable<KnownRoom>,
): string[] {
  const sources = new Map<string, string>();
  const young = new Set<string>();
  for (const { tenant_id: tenant, room_id: name, fork, is_stored } of known) {
    if (tenant !== tenant_id || !fork) continue;
    sources.set(name, fork.room_id);
    if (!is_stored) young.add(name);
  }
  const sourceOf = (fork: string) => sources.get(fork);
  return [...young].filter((fork) => sourcesOf(fork, sourceOf).some((at) => at === room_id));
}

/** The entry that the fork begins behind. Rejects when it is not there, or what the room was then is not kept. */
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
  const fork = { room_id: source.room_id, offset, with_timers: ask.with_timers };
  const durable = await parts.openLog(at.tenant_id);
  return {
    ...{
      snapshot: "",
      previous: "",
      points: "",
      offset,
      stream: durable.stream,
      position: 0,
      fork,
      lost: [],
    },
    published: { offset, index: EVENTS_END },
    programs: { ...NO_PROGRAMS, from: offset },
    // So its owner reads it soon, learns of its timers, and stores it when nobody calls it for long.
    ...{ is_behind: true, behind_ms: durable.now(), next_ms: null },
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
