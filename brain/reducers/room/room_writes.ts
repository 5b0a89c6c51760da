/**
 * Writes the durable data of a room with a reducer: entries of its log, after its last known message so that a former
 * owner is refused; snapshots; the record. What is refused with `version-conflict` was not stored, and the room has to
 * be read again.
 */
import { ArqonError } from "@arqon/proto";
import { chainMark, type RoomPoint } from "../../../shared/records/reducer_points.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import { systemEnvelope } from "../../../shared/records/system_envelope.ts";
import {
  encodeRecord,
  programsBehind,
  withProgram,
} from "../../../shared/records/reducer_record.ts";
import type { RoomRecord, TakenTimer } from "../../../shared/records/reducer_record.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { LogEntry } from "../state/room_state.ts";
import { encodeBatch, isBehind } from "../log/batch.ts";
import type { LoadedRoom, ReducedPlace, RoomParts } from "./loaded_room.ts";
import {
  firstRecord,
  logFloor,
  objectOf,
  readPoints,
  thinned,
  writePoints,
} from "./stored_data.ts";
import type { HistoryLimits } from "./stored_data.ts";

const ENTRIES_TYPE = "reducer.entries";

async function writeRecord(loaded: LoadedRoom, record: RoomRecord): Promise<void> {
  const { at: { tenant_id, room_id }, parts: { records } } = loaded;
  const key = [tenant_id, room_id];
  loaded.revision = await records.update(key, encodeRecord(record), loaded.revision);
  loaded.record = record;
}

/** Records that entries follow the snapshot, and their programs, before they are appended. */
async function noteBehind(loaded: LoadedRoom): Promise<void> {
  const { record, programs } = loaded;
  if (record?.is_behind && record.programs === programs) return;
  await writeRecord(loaded, behindRecord(loaded));
}

function behindRecord({ record, programs, noted, durable, life }: LoadedRoom): RoomRecord {
  const first = { ...firstRecord(durable, life), published: noted };
  if (record === undefined) return { ...first, programs };
  const { is_behind, behind_ms } = record.is_behind ? record : first;
  return { ...record, is_behind, behind_ms, programs };
}

/** Whether the claimed timer is the room's first. */
export function isTaken(
  { key, at_ms }: TakenTimer,
  { next }: Pick<LoadedRoom["standing"], "next">,
): boolean {
  return next !== undefined && next.key === key && next.at_ms === at_ms;
}

/** Records the claimed timer, with anything its entry needs recorded before it is appended; undefined: no claim. */
export async function writeTaken(loaded: LoadedRoom, taken: TakenTimer | undefined): Promise<void> {
  const { programs, standing: { offset } } = loaded;
  if (taken !== undefined) loaded.programs = withProgram(programs, taken.program, offset);
  await writeRecord(loaded, { ...behindRecord(loaded), taken });
}

/** Appends the entries that led to the state `standing`. */
export async function appendEntries(
  loaded: LoadedRoom,
  entries: readonly LogEntry[],
  { program, standing }: Pick<LoadedRoom, "standing"> & { readonly program: RunnableProgram },
): Promise<void> {
  const { id } = program;
  loaded.programs = withProgram(loaded.programs, id, loaded.standing.offset);
  await noteBehind(loaded);
  // Only now: a removal has seen the need for it, or is seen.
  if (loaded.kept !== id) await loaded.parts.keepProgram(program);
  loaded.kept = id;
  await append(loaded, entries, { program: id, standing });
}

/** Appends a message without entries that records the last published event. It needs no program. */
export async function appendNothing(loaded: LoadedRoom, program: string): Promise<void> {
  await noteBehind(loaded);
  await append(loaded, [], { program, standing: loaded.standing });
}

async function append(
  loaded: LoadedRoom,
  entries: readonly LogEntry[],
  { program, standing }: Pick<LoadedRoom, "standing"> & { readonly program: string },
): Promise<void> {
  const { at: { tenant_id, log_room_id }, parts, published, durable, position } = loaded;
  const after = standing.offset - entries.length;
  const data = encodeBatch({
    program,
    published,
    after,
    entries,
    chain: Uint8Array.fromHex(standing.chain),
  });
  const { now, random } = parts;
  const payload = systemEnvelope({ now, random }, {
    tenant_id,
    room_id: log_room_id,
    event: { type: ENTRIES_TYPE, data, content_type: "application/octet-stream" },
  });
  const { offset } = await durable.append(log_room_id, payload, { expected_last: position });
  loaded.position = offset;
  loaded.standing = standing;
  loaded.noted = published;
  loaded.messages_behind++;
  loaded.appended.messages++;
  loaded.appended.bytes += payload.length;
  loaded.entries_behind += entries.length;
}

/** Records the last published event in the log, unless it is there. */
export async function appendPublished(loaded: LoadedRoom): Promise<void> {
  const { program, published, noted } = loaded;
  if (program === undefined || !isBehind(published, noted)) return;
  await appendNothing(loaded, program.id);
}

/** The snapshot point for the current state of the room. */
function pointOf({ standing, position }: LoadedRoom, size_bytes: number): RoomPoint {
  const { offset, time_ms, chain } = standing;
  return { offset, time_ms, position, size_bytes, chain: chainMark(chain) };
}

interface Points {
  readonly kept: readonly RoomPoint[];
  readonly gone: readonly RoomPoint[];
  /** The entry before the log's first. */
  readonly floor: number;
}

/** The points including this one, within the limits. */
async function pointsWith(
  loaded: LoadedRoom,
  point: RoomPoint,
  limits: HistoryLimits,
): Promise<Points> {
  const { at: { log_room_id }, parts, durable, record } = loaded;
  const known = loaded.points ?? await readPoints(record, durable.stream, parts.objects);
  const before = known.filter(({ offset }) => offset < point.offset);
  const floor = await logFloor(durable, log_room_id) ?? point.offset;
  const kept = thinned([...before, point], floor, limits);
  return { kept, gone: before.filter((one) => !kept.includes(one)), floor };
}

/** As `writeRecord`; if the room was erased meanwhile, removes the objects, since nobody else would. */
async function nameObjects(loaded: LoadedRoom, record: RoomRecord): Promise<void> {
  const { at, parts } = loaded;
  try {
    await writeRecord(loaded, record);
  } catch (error) {
    // If another Brain owns the room by now, it may name the same objects.
    const is_erased = isConflict(error) &&
      await parts.records.get([at.tenant_id, at.room_id]) === undefined;
    if (is_erased) await removeObjects([record.snapshot, record.points], at, parts);
    throw error;
  }
}

/** Stores a snapshot of the room, whose events are all published, and deletes surplus snapshots. */
export async function storeSnapshot(loaded: LoadedRoom, limits: HistoryLimits): Promise<void> {
  const { at, parts } = loaded;
  const { snapshot: before = "", previous: oldest = "", points: listed = "" } = loaded.record ?? {};
  // No object is stored for a room that was erased or changed its owner: nobody would remove it.
  const stored = await parts.records.get([at.tenant_id, at.room_id]);
  if ((stored?.revision ?? 0) !== loaded.revision) throw new ArqonError("version-conflict");
  const bytes = await parts.host.snapshot(loaded.handle);
  const point = pointOf(loaded, bytes.length);
  const snapshot = objectOf(at, point);
  await parts.objects.put(snapshot, bytes);
  const { published, position, standing: { offset, next }, durable: { stream } } = loaded;
  const { kept, gone, floor } = await pointsWith(loaded, point, limits);
  const points = await writePoints(at, stream, kept, parts.objects);
  const previous = before === snapshot ? oldest : before;
  const { fork = null, lost = [], taken } = loaded.record ?? {};
  const programs = programsBehind(loaded.programs, floor);
  await nameObjects(loaded, {
    snapshot,
    previous,
    points,
    offset,
    published,
    stream,
    position,
    fork,
    lost,
    is_behind: false,
    behind_ms: 0,
    next_ms: next?.at_ms ?? null,
    program: loaded.program,
    programs,
    refused: loaded.refused,
    taken: taken && isTaken(taken, loaded.standing) ? taken : undefined,
    life: loaded.life,
  });
  loaded.programs = programs;
  loaded.points = kept;
  loaded.noted = published;
  loaded.messages_behind = 0;
  loaded.entries_behind = 0;
  const named = new Set([snapshot, previous, points, ...kept.map((one) => objectOf(at, one))]);
  const left = [oldest, listed, ...gone.map((one) => objectOf(at, one))];
  await removeObjects(left.filter((name) => name !== "" && !named.has(name)), at, parts);
}

/**
 * Deletes every second earlier snapshot of the room if storage is full; other rooms' snapshots are not its to delete.
 * The next stored snapshot updates the list; readers skip names of missing objects. The last two stay.
 */
async function makeRoom(loaded: LoadedRoom): Promise<void> {
  const { at, parts, record, durable } = loaded;
  const known = loaded.points ?? await readPoints(record, durable.stream, parts.objects);
  const gone = known.slice(0, -2).filter((_, index) => index % 2 === 0);
  await removeObjects(gone.map((one) => objectOf(at, one)), at, parts);
  loaded.points = known.filter((one) => !gone.includes(one));
}

/** Stores the room as `storeSnapshot`; if that fails, frees storage for the next try. */
export async function storeOrMakeRoom(loaded: LoadedRoom, limits: HistoryLimits): Promise<void> {
  const { metrics } = loaded.parts;
  try {
    await storeSnapshot(loaded, limits);
    metrics.snapshots.inc({ outcome: "stored" });
  } catch (error) {
    metrics.snapshots.inc({ outcome: "failed" });
    // The first failure is reported; the next snapshot tries again.
    if (!isConflict(error)) await makeRoom(loaded).catch(() => {});
    throw error;
  }
}

/**
 * Removes the oldest messages of a log above its limit of bytes; those since the last two snapshots stay. Only messages
 * that this Brain appended have a known size.
 */
export async function boundLog(
  { at: { log_room_id }, durable, points, appended }: LoadedRoom,
  log_bytes: number,
): Promise<void> {
  const previous = points?.at(-2);
  if (appended.messages > 0) appended.average = appended.bytes / appended.messages;
  appended.messages = appended.bytes = 0;
  if (previous === undefined || appended.average === 0) return;
  const most = Math.floor(log_bytes / appended.average);
  const stored = await durable.count(log_room_id, 1);
  if (stored <= most) return;
  const keep = Math.max(most, await durable.count(log_room_id, previous.position + 1));
  if (keep < stored) await durable.trim(log_room_id, keep);
}

/** Removes objects; a failure costs storage and nothing else. */
export async function removeObjects(
  names: readonly string[],
  { room_id: room }: ReducedPlace,
  { objects, log }: RoomParts,
): Promise<void> {
  for (const name of new Set(names)) {
    await objects.delete(name).catch((error) => {
      log.warn("a room's old snapshot was not removed", { room, error });
    });
  }
}
