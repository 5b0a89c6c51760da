/**
 * Removes the past of a room: its log up to a snapshot, and every earlier snapshot. The state of the room stays. The
 * owner does it while nothing else of the room is running.
 */
import { encodeRecord } from "../../../shared/records/reducer_record.ts";
import { entryOfObject, type RoomPoint } from "../../../shared/records/reducer_points.ts";
import type { LoadedRoom, ReducedPlace, RoomParts } from "./loaded_room.ts";
import { loadRoom } from "./room_load.ts";
import { type HistoryLimits, objectOf, readPoints, writePoints } from "./points.ts";
import { appendNothing, removeObjects, storeSnapshot } from "./room_writes.ts";
import { publishRemaining } from "./value_changes.ts";
import type { Shown } from "../visible/shown.ts";

interface TrimOptions {
  readonly limits: HistoryLimits;
  readonly program: string;
  readonly shown: Shown;
}

/**
 * Removes objects of the room from before an entry that its record no longer names: those dropped now, and those left
 * by a Brain that was killed before it removed them. None is ever stored again, since offsets only grow.
 */
async function removeBefore(
  at: ReducedPlace,
  offset: number,
  listed: string,
  parts: RoomParts,
): Promise<number> {
  const stored = await parts.objects.list();
  const gone = stored.map(({ name }) => name)
    .filter((name) => name !== listed && (entryOfObject(at, name) ?? offset) < offset);
  await removeObjects(gone, at, parts);
  return gone.filter((name) => name.startsWith("snapshot-")).length;
}

/** Drops snapshots before this one from the record, then removes them. */
async function dropBefore(loaded: LoadedRoom, from: RoomPoint): Promise<number> {
  const { at, parts, durable, record, revision } = loaded;
  if (record === undefined) return 0;
  const points = await readPoints(record, durable.stream, parts.objects);
  const kept = points.filter(({ offset }) => offset >= from.offset);
  const named = kept.map((point) => objectOf(at, point));
  const previous = named.includes(record.previous) ? record.previous : "";
  // The list's name contains the last point: it is another object only if that changed.
  const listed = await writePoints(at, durable.stream, kept, parts.objects);
  const next = { ...record, previous, points: listed, fork: null };
  const key = [at.tenant_id, at.room_id];
  loaded.revision = await parts.records.update(key, encodeRecord(next), revision);
  loaded.record = next;
  return await removeBefore(at, from.offset, listed, parts);
}

/**
 * Removes everything before the last snapshot that is not after the entry `before`; if absent, before a new snapshot.
 * Returns the start of the kept past, and how much was removed.
 */
export async function trimRoom(
  at: ReducedPlace,
  before: number | undefined,
  parts: RoomParts,
  { limits, program, shown }: TrimOptions,
): Promise<object> {
  const loaded = await loadRoom(at, shown, parts);
  try {
    const { durable, standing } = loaded;
    // The source of changes of visible values is about to go.
    await publishRemaining({ loaded, shown });
    const is_all = before === undefined || before >= standing.offset;
    if (is_all) {
      // After a message without entries no message with entries has to stay.
      await appendNothing(loaded, program);
      await storeSnapshot(loaded, limits);
    }
    const points = await readPoints(loaded.record, durable.stream, parts.objects);
    const from = points.findLast(({ offset }) => is_all || offset <= before);
    if (from === undefined) return { offset: 0, messages: 0, snapshots: 0 };
    const snapshots = await dropBefore(loaded, from);
    const stored = await durable.count(at.log_room_id, 1);
    const keep = is_all ? 1 : Math.max(1, await durable.count(at.log_room_id, from.position + 1));
    if (keep < stored) await durable.trim(at.log_room_id, keep);
    return { offset: from.offset, messages: Math.max(0, stored - keep), snapshots };
  } finally {
    parts.host.close(loaded.handle);
  }
}
