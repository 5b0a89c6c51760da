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
import { openFork, openPast } from "./past.ts";

/** No event of the past is behind this: what the other room published is not published again. */
const EVENTS_END = 4_294_967_295;

type ForkAsk = Extract<PastAsk, { action: "fork" }>;

/** The record of the fork, once it is known that its past can be read. */
async function recordFor(
  at: ReducedPlace,
  source: ReducedPlace,
  ask: ForkAsk,
  parts: RoomParts,
): Promise<RoomRecord> {
  const { offset: wanted, time_ms = Infinity, with_timers } = ask;
  const past = await openPast(source, { offset: wanted ?? Infinity, time_ms }, parts);
  parts.host.close(past.handle);
  const offset = past.next?.entry.offset ?? past.standing.offset;
  if (wanted !== undefined && time_ms === Infinity && offset !== wanted) {
    const detail = `${source.room_id} has no entry ${wanted} yet: its last is ${offset}`;
    throw new ArqonError("invalid-command", detail);
  }
  const fork = { room_id: source.room_id, offset, with_timers };
  const open = await openFork(at, fork, parts);
  parts.host.close(open.handle);
  const { stream } = await parts.openLog(at.tenant_id);
  return {
    ...{ snapshot: "", previous: "", points: "", offset, stream, position: 0, fork, lost: [] },
    published: { offset, index: EVENTS_END },
    // Whoever owns it stores a snapshot of its own when nobody calls it for long.
    ...{ is_behind: true, behind_ms: parts.now(), next_ms: open.standing.next?.at_ms ?? null },
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
