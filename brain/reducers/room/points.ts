/**
 * Which snapshots of a room are kept: spread over the entries that its log still has, so that any of them is near
 * one. The list of them is an object that the room's record names. Bounded by number and bytes; the last two stay
 * in any case.
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

/** What one room's snapshots may be. */
export interface HistoryLimits {
  readonly history_snapshots: number;
  readonly history_bytes: number;
}

/** What is stored of a room, and after how many entries. */
export interface StoringLimits extends HistoryLimits {
  /** Of its log, about. */
  readonly log_bytes: number;
  readonly snapshot_entries: number;
}

/** Snapshots that are never removed by a limit. */
const LEAST = 2;

/**
 * The points that stay: those from the entry `floor` on, behind which the log begins, less the ones whose
 * neighbours are nearest to each other until the rest is within the limits.
 */
export function thinned(
  points: readonly RoomPoint[],
  floor: number,
  { history_snapshots, history_bytes }: HistoryLimits,
): RoomPoint[] {
  const kept = points.filter(({ offset }, at) => offset >= floor || at >= points.length - LEAST);
  let bytes = kept.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  while (kept.length > LEAST && (kept.length > history_snapshots || bytes > history_bytes)) {
    // What the log begins behind goes last: without it nothing up to the next one can be seen.
    const first = kept[0]!.offset === floor && kept.length > LEAST + 1 ? 1 : 0;
    let [least, least_gap] = [first, Infinity];
    for (let at = first; at < kept.length - LEAST; at++) {
      const gap = kept[at + 1]!.offset - (kept[at - 1]?.offset ?? floor);
      if (gap < least_gap) [least, least_gap] = [at, gap];
    }
    bytes -= kept[least]!.size_bytes;
    kept.splice(least, 1);
  }
  return kept;
}

/** The points that a record names; none where they are not stored, or where the log has begun anew since. */
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

/** Stores points and says under which name; none: "". */
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

/** The object with the snapshot of a point. */
export const objectOf = ({ tenant_id, room_id }: ReducedPlace, point: RoomPoint): string =>
  snapshotName(tenant_id, room_id, point);

/** The entry behind which a room's log begins; undefined: the log is empty. */
export async function logFloor(
  durable: Pick<DurableLog, "read">,
  log_room_id: string,
): Promise<number | undefined> {
  const { messages: [first] } = await durable.read(log_room_id, {
    ...{ after: 0, limit: 1, max_bytes: 1 },
  });
  return first && decodeBatch(readEnvelope(first.payload).event?.data ?? new Uint8Array()).after;
}
