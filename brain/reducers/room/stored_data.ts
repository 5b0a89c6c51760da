/**
 * The stored data of a room with a reducer: its record, and the messages of its log. `room_load.ts`, `past.ts` and
 * `repair.ts` build on it.
 */
import { ArqonError, readEnvelope } from "@arqon/proto";
import { decodeRecord, type RoomRecord } from "../../../shared/records/reducer_record.ts";
import type { DurableLog, LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import { type Batch, decodeBatch } from "../log/batch.ts";
import type { ReducedPlace, RoomParts } from "./loaded_room.ts";

const READ_MESSAGES = 512;
const READ_BYTES = 4_194_304;
/** How often a snapshot may be replaced while it is read. */
const SNAPSHOT_ATTEMPTS = 4;

/** The refusal for stored data that does not fit together. */
export function unreadable(detail: string, cause?: unknown): ArqonError {
  return new ArqonError("log-unavailable", detail, { cause });
}

/** Whether it is such a refusal. */
export const isUnreadable = (error: unknown): error is ArqonError =>
  error instanceof ArqonError && error.reason === "log-unavailable";

/** Decodes a record. Throws `log-unavailable`. */
export function readStored(room_id: string, bytes: Uint8Array): RoomRecord {
  const record = decodeRecord(bytes);
  if (record !== undefined) return record;
  throw unreadable(`the record of ${room_id} cannot be read`);
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
