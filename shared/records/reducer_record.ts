/**
 * What is stored of a room with a reducer beside its log: its last snapshot, and whether it has to be looked at
 * without anybody calling. In the bucket `ARQON_REDUCERS` under `[tenant, room]`. Pure; Brains write it.
 */
import { z } from "zod";
import { StoredPrograms } from "./reducer_programs.ts";
import { readStored, type StoredAs, storedBytes } from "./stored.ts";

/** The bucket of the records. */
export const REDUCERS_BUCKET = "ARQON_REDUCERS";
/** The store of snapshots, programs and modules. */
export const REDUCER_OBJECTS = "ARQON_REDUCER_OBJECTS";

/** The object of a module, by its hex SHA-256. */
export const moduleName = (sha256: string): string => `module-${sha256}`;

const whole = z.int().min(0);

/** Where a room comes from: another one of its tenant, behind an entry of that. */
const Fork = z.object({
  room_id: z.string(),
  offset: whole,
  /** Whether what the other one had scheduled is this one's, too. */
  with_timers: z.boolean(),
});

/** Entries that are missing, and when that was accepted, Unix ms. */
const Lost = z.object({ from: whole, to: whole, at_ms: whole });

/** A program by its id, and its module by its SHA-256. */
const Name = z.object({ id: z.string(), module: z.string() });

/** A program that could not migrate the room, and the number of the deploy. */
const Refused = z.object({ program: z.string(), deploy: whole });

/** A timer that a Brain runs which another one may have died of. */
const Taken = z.object({
  /** The life of that Brain. */
  by: z.string(),
  /** Whether another one had taken it up before. */
  again: z.boolean(),
  key: z.string(),
  /** When it was due, Unix ms. */
  at_ms: z.number(),
  /** The program that runs it, by its id. */
  program: z.string(),
});

const Members = {
  /** The snapshot's object; "": none yet, and the log is whole. */
  snapshot: z.string(),
  /** The one before it, which a backup that is under way may name; "": none. */
  previous: z.string(),
  /** The object that reports all snapshots (`reducer_points.ts`); "": none. Absent in what was stored before. */
  points: z.string().default(""),
  /** The last entry in it. */
  offset: whole,
  /** The last event that was published then. */
  published: z.object({ offset: whole, index: whole }),
  /** The life of the tenant's log, and the position in it of the last message that the snapshot has. */
  stream: z.string(),
  position: whole,
  /** Whether there may be entries behind the snapshot. */
  is_behind: z.boolean(),
  /** Since when there may be, Unix ms. */
  behind_ms: whole,
  /** When the first timer is due, Unix ms; null: there is none. */
  next_ms: whole.nullable(),
  /** The room whose past this room shares, up to which entry; null: it began empty. */
  fork: Fork.nullable().default(null),
  /** Entries that were lost, and that an operator has accepted as such, the last ones. */
  lost: z.array(Lost).default([]),
  /** The program that was in force when the snapshot was stored; absent: none was yet. */
  program: Name.optional(),
  /** The programs that the log may name; absent in what was stored before: only the log says. */
  programs: StoredPrograms.optional(),
  /** The program that could not migrate the room; absent: none. */
  refused: Refused.optional(),
  /** The timer that a Brain has claimed that did not run it before; absent: none. */
  taken: Taken.optional(),
};

const Record = z.looseObject(Members);

/** Where a room comes from. */
export type RoomFork = StoredAs<typeof Fork>;
/** A program by its id, and its module. */
export type ProgramName = StoredAs<typeof Name>;
/** A program that could not migrate the room. */
export type RefusedProgram = StoredAs<typeof Refused>;
/** A timer that a Brain runs which another one may have died of. */
export type TakenTimer = StoredAs<typeof Taken>;
/** What is stored of a room. */
export type RoomRecord = StoredAs<z.ZodObject<typeof Members>>;

/** A record as bytes. */
export const encodeRecord: (record: RoomRecord) => Uint8Array = storedBytes;

/** The record of bytes; undefined for bytes that are none. Throws `incompatible-version`. */
export const decodeRecord = (bytes: Uint8Array): RoomRecord | undefined =>
  readStored(bytes, Record, "record of a room's reducer");
