/**
 * The record of the life of the stored rooms, with the names of its own last changes. Pure: the record's format, and
 * what it proves. `room_lives.ts` writes and compares it.
 */
import { z } from "zod";
import type { RoomsTail } from "../../../shared/records/rooms_tail.ts";
import { readStored } from "../../../shared/records/stored.ts";

/** The key of the record; keys of rooms have two parts. */
export const LIFE_KEY = ["life"];
/** How many changes the record names: a Brain that was down for longer asks the others. */
const BEATS_KEPT = 128;

const Record = z.object({
  format: z.literal(1),
  id: z.string().min(1),
  /** When the life began, Unix ms. */
  since_ms: z.int().min(0),
  /** A unique name for each of the last changes, the newest last. */
  beats: z.array(z.string()).max(BEATS_KEPT),
  /** The highest version of any room known to the Brain that wrote this. */
  version: z.int().min(0),
});
/** The record. */
export type LifeRecord = z.output<typeof Record>;

/** The stored record; undefined: none that is readable. */
export interface StoredLifeRecord {
  /** Its revision; 0: nothing is stored. */
  readonly revision: number;
  readonly record: LifeRecord | undefined;
}

/** The record's stored form. */
export function encodeRecord(record: LifeRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record));
}

/** Reads the stored form; undefined for data that `encodeRecord` has not written. Throws `incompatible-version`. */
export const decodeRecord = (value: Uint8Array): LifeRecord | undefined =>
  readStored(value, Record, "life of the rooms");

/** The first record of a new life. */
export function firstRecord(id: string, since_ms: number, beat: string, version = 0): LifeRecord {
  return { format: 1, id, since_ms, beats: [beat], version };
}

/** The record with one more change. */
export function nextRecord(record: LifeRecord, beat: string, version = 0): LifeRecord {
  const beats = [...record.beats, beat].slice(-BEATS_KEPT);
  return { ...record, beats, version: Math.max(record.version, version) };
}

/** Whether the stored record continues the known one, and is not an older copy of it. */
export function goesOn({ revision, record }: StoredLifeRecord, known: RoomsTail): boolean {
  if (record === undefined || revision < known.revision) return false;
  const is_latest = record.id === known.id && record.beats.at(-1) === known.beat;
  if (revision === known.revision) return is_latest;
  // Another life has begun since: the process that began it has checked.
  return record.id !== known.id || record.beats.includes(known.beat);
}

/** A process's own knowledge: the record, and the start of its life in Unix ms. */
interface OwnTail extends RoomsTail {
  readonly since_ms: number;
}

/**
 * The highest known revision of the stored record's life, if one of the `others` confirms that the record continues.
 * Undefined if none does, or if one knows a later record: then it is an older copy. `own` is the asking process's
 * knowledge, which may be of a life that has ended; others may know less, if they missed a message.
 */
export function vouchedRevision(
  stored: StoredLifeRecord,
  others: readonly RoomsTail[],
  own: OwnTail | undefined,
): number | undefined {
  const { revision, record } = stored;
  if (record === undefined || !others.some((tail) => goesOn(stored, tail))) return undefined;
  if (others.some((tail) => tail.revision > revision)) return undefined;
  const is_known_life = own !== undefined && record.since_ms <= own.since_ms;
  if (is_known_life && own.revision >= revision && !goesOn(stored, own)) return undefined;
  return Math.max(...others.map(({ highest }) => highest), is_known_life ? own.highest : 0);
}
