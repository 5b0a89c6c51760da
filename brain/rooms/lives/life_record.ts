/**
 * The record beside the stored rooms that says in which life they are and names its own last
 * changes. Pure: the record's form, and what it proves. Who writes and compares it is
 * `room_lives.ts`.
 */
import { z } from "zod";
import type { RoomsTail } from "../../../shared/records/rooms_tail.ts";
import { readStored } from "../../../shared/records/stored.ts";

/** The key of the record; those of rooms have two parts. */
export const LIFE_KEY = ["life"];
/** How many of its changes the record names: a Brain that was down for longer asks the others. */
const BEATS_KEPT = 128;

const Record = z.object({
  format: z.literal(1),
  /** The life's id. */
  id: z.string().min(1),
  /** When the life began, Unix ms. */
  since_ms: z.int().min(0),
  /** A name for each of the last changes, the newest last; no two are alike. */
  beats: z.array(z.string()).max(BEATS_KEPT),
  /** The highest version of a room that the Brain knew that wrote this. */
  version: z.int().min(0),
});
/** The record. */
export type LifeRecord = z.output<typeof Record>;

/** The record as it is stored; undefined: none that can be read. */
export interface StoredLifeRecord {
  /** Its revision; 0: nothing is stored. */
  readonly revision: number;
  readonly record: LifeRecord | undefined;
}

/** The record's stored form. */
export function encodeRecord(record: LifeRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record));
}

/** Reads the stored form; undefined for what `encodeRecord` has not written. Throws `incompatible-version`. */
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

/** Whether the stored record continues the one that somebody knows, and is no older copy of it. */
export function goesOn({ revision, record }: StoredLifeRecord, known: RoomsTail): boolean {
  if (record === undefined || revision < known.revision) return false;
  const is_latest = record.id === known.id && record.beats.at(-1) === known.beat;
  if (revision === known.revision) return is_latest;
  // Another life has begun since: whoever began it has looked.
  return record.id !== known.id || record.beats.includes(known.beat);
}

/** What a process knows itself: the record, and since when its life is, in Unix ms. */
interface OwnTail extends RoomsTail {
  readonly since_ms: number;
}

/**
 * The highest revision that the stored record's life is known to have had, if one of the `others`
 * says that the record goes on. Undefined when none does, or when somebody knows a later record:
 * then it is an older copy. `own` is what the asking process knows, which another life that began
 * since may have overtaken; others may know less than it, since a message has not reached them.
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
