/**
 * Which snapshots of a room are kept: spread over the entries that its log still has, so that any entry is near one.
 * The room's record names an object with the list. Limited by number and bytes; the last two always stay.
 */
import { readEnvelope } from "@arqon/proto";
import {
  decodePoints,
  encodePoints,
  pointsName,
  type RoomPoint,
  snapshotName,
} from "../../../shared/records/reducer_points.ts";
import type { RoomRecord } from "../../../shared/records/reducer_record.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import type { ObjectStore } from "../../../shared/spine/contract/spine.ts";
import { decodeBatch } from "../log/batch.ts";
import type { ReducedPlace } from "./loaded_room.ts";

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
  const { messages: [first] } = await durable.read(log_room_id, {
    after: 0,
    limit: 1,
    max_bytes: 1,
  });
  return first && decodeBatch(readEnvelope(first.payload).event?.data ?? new Uint8Array()).after;
}
