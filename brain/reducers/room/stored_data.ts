/**
 * The stored data of a room with a reducer: its record, the messages of its log, and which snapshots are kept: spread
 * over the entries that its log still has, so that any entry is near one.
 */
import { ArqonError, readEnvelope } from "@arqon/proto";
import { decodeRecord, type RoomRecord } from "../../../shared/records/reducer_record.ts";
import type { DurableLog, LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import { type Batch, decodeBatch, NO_EVENT } from "../log/batch.ts";
import type { ReducedPlace, RoomParts } from "./loaded_room.ts";
import {
  decodePoints,
  encodePoints,
  pointsName,
  snapshotName,
} from "../../../shared/records/reducer_points.ts";
import type { RoomPoint } from "../../../shared/records/reducer_points.ts";
import type { ObjectStore } from "../../../shared/spine/contract/spine.ts";

const READ_MESSAGES = 512;
const READ_BYTES = 4_194_304;
const FIRST = { after: 0, limit: 1, max_bytes: 1 };
/** How often a snapshot may be replaced while it is read. */
const SNAPSHOT_ATTEMPTS = 4;

/** The refusal for stored data that does not fit together. */
export const unreadable = (detail: string, cause?: unknown): ArqonError =>
  new ArqonError("log-unavailable", detail, { cause });

/** Whether it is such a refusal. */
export const isUnreadable = (error: unknown): error is ArqonError =>
  error instanceof ArqonError && error.reason === "log-unavailable";

/** Decodes a record. Throws `log-unavailable`. */
function readStored(room_id: string, bytes: Uint8Array): RoomRecord {
  const record = decodeRecord(bytes);
  if (record !== undefined) return record;
  throw unreadable(`the record of ${room_id} cannot be read`);
}

/** The record of a room of which nothing is stored yet, except entries of its log. */
export function firstRecord(durable: Pick<DurableLog, "stream" | "now">, life: string) {
  return {
    snapshot: "",
    previous: "",
    points: "",
    offset: 0,
    published: NO_EVENT,
    stream: durable.stream,
    position: 0,
    fork: null,
    lost: [],
    is_behind: true,
    behind_ms: durable.now(),
    next_ms: null,
    life,
  };
}

/** The record of a room; undefined: nobody has called it. */
export async function recordOf(
  { tenant_id, room_id }: ReducedPlace,
  { records }: RoomParts,
): Promise<RoomRecord | undefined> {
  const stored = await records.get([tenant_id, room_id]);
  return stored && readStored(room_id, stored.value);
}

/** A room without its log. */
export interface StoredRoom {
  readonly record: RoomRecord | undefined;
  readonly revision: number;
  readonly snapshot: Uint8Array | undefined;
}

/** The record of a room and the bytes of its snapshot. */
export async function readRecord(
  { tenant_id, room_id }: ReducedPlace,
  parts: RoomParts,
): Promise<StoredRoom> {
  for (let attempt = 0; attempt < SNAPSHOT_ATTEMPTS; attempt++) {
    const stored = await parts.records.get([tenant_id, room_id]);
    if (stored === undefined) return { record: undefined, revision: 0, snapshot: undefined };
    const record = readStored(room_id, stored.value);
    const { revision } = stored;
    if (record.snapshot === "") return { record, revision, snapshot: undefined };
    const snapshot = await parts.objects.get(record.snapshot);
    if (snapshot !== undefined) return { record, revision, snapshot };
  }
  throw unreadable(`the snapshot of ${room_id} is gone`);
}

/** The entries of a message. Throws `log-unavailable`. */
export function batchOf({ payload, offset }: LogMessage): Batch {
  try {
    return decodeBatch(readEnvelope(payload).event?.data ?? new Uint8Array());
  } catch (cause) {
    throw unreadable(`message ${offset} of the room's log cannot be read`, cause);
  }
}

/** Everything of the room's log behind a position. */
export async function readMessages(
  durable: DurableLog,
  log_room_id: string,
  position: number,
): Promise<{ readonly messages: readonly LogMessage[]; readonly newest: number }> {
  const newest = (await durable.head(log_room_id)).last?.offset ?? 0;
  const messages: LogMessage[] = [];
  for (let after = position; after < newest;) {
    const limits = { after, limit: READ_MESSAGES, max_bytes: READ_BYTES };
    const page = await durable.read(log_room_id, limits);
    messages.push(...page.messages);
    const last = page.messages.at(-1)?.offset ?? 0;
    if (last <= after) break;
    after = last;
  }
  if (newest > position && (messages.at(-1)?.offset ?? 0) < newest) {
    throw unreadable("its reading is behind its writing");
  }
  return { messages, newest };
}

/** The limits of one room's snapshots. */
export interface HistoryLimits {
  readonly history_snapshots: number;
  readonly history_bytes: number;
}

/** When a room is stored, and how much. */
export interface StoringLimits extends HistoryLimits {
  /** Approximate bytes of its log. */
  readonly log_bytes: number;
  readonly snapshot_entries: number;
}

/** Snapshots that no limit removes. */
const LEAST = 2;

/**
 * The points that stay: those since the entry `floor`, where the log begins, except the ones with the nearest
 * neighbours until the limits hold.
 */
export function thinned(
  points: readonly RoomPoint[],
  floor: number,
  { history_snapshots, history_bytes }: HistoryLimits,
): RoomPoint[] {
  const kept = points.filter(({ offset }, at) => offset >= floor || at >= points.length - LEAST);
  let bytes = kept.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  while (kept.length > LEAST && (kept.length > history_snapshots || bytes > history_bytes)) {
    // The start of the log goes last: without it no entry before the next one can be shown.
    const first = kept[0]!.offset === floor && kept.length > LEAST + 1 ? 1 : 0;
    let least = first;
    let least_gap = Infinity;
    for (let at = first; at < kept.length - LEAST; at++) {
      const gap = kept[at + 1]!.offset - (kept[at - 1]?.offset ?? floor);
      if (gap < least_gap) [least, least_gap] = [at, gap];
    }
    bytes -= kept[least]!.size_bytes;
    kept.splice(least, 1);
  }
  return kept;
}

/** The points that a record names; none if they are not stored, or the log was recreated since. */
export async function readPoints(
  record: Pick<RoomRecord, "points"> | undefined,
  stream: string,
  objects: Pick<ObjectStore, "get">,
): Promise<readonly RoomPoint[]> {
  if (record === undefined || record.points === "") return [];
  const bytes = await objects.get(record.points);
  const stored = bytes === undefined ? undefined : decodePoints(bytes);
  return stored === undefined || stored.stream !== stream ? [] : stored.points;
}

/** Stores points and returns their name; "" for none. */
export async function writePoints(
  { tenant_id, room_id }: ReducedPlace,
  stream: string,
  points: readonly RoomPoint[],
  objects: Pick<ObjectStore, "put">,
): Promise<string> {
  const last = points.at(-1);
  if (last === undefined) return "";
  const name = pointsName(tenant_id, room_id, last);
  await objects.put(name, encodePoints({ stream, points }));
  return name;
}

/** The name of the object with a point's snapshot. */
export const objectOf = ({ tenant_id, room_id }: ReducedPlace, point: RoomPoint): string =>
  snapshotName(tenant_id, room_id, point);

/** The entry before a room's log begins; undefined: the log is empty. */
export async function logFloor(
  durable: Pick<DurableLog, "read">,
  log_room_id: string,
): Promise<number | undefined> {
  const { messages: [first] } = await durable.read(log_room_id, FIRST);
  return first && batchOf(first).after;
}
