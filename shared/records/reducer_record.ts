/**
 * What is stored of a room with a reducer beside its log: its last snapshot, and whether it has to be looked at
 * without anybody calling. In the bucket `ARQON_REDUCERS` under `[tenant, room]`. Pure; Brains write it.
 */
import { z } from "zod";
import { type RoomPrograms, StoredPrograms } from "./reducer_programs.ts";
import { readStored } from "./stored.ts";

/** The bucket of the records. */
export const REDUCERS_BUCKET = "ARQON_REDUCERS";
/** The store of snapshots, programs and modules. */
export const REDUCER_OBJECTS = "ARQON_REDUCER_OBJECTS";

/** The object of a module, by its hex SHA-256. */
export const moduleName = (sha256: string): string => `module-${sha256}`;

const whole = z.int().min(0);

const Record = z.looseObject({
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
  fork: z.object({
    ...{ room_id: z.string(), offset: whole, with_timers: z.boolean() },
  }).nullable().default(null),
  /** Entries that were lost, and that an operator has accepted as such, the last ones. */
  lost: z.array(z.object({ from: whole, to: whole, at_ms: whole })).default([]),
  /** The program that was in force when the snapshot was stored, and its module; absent: none was yet. */
  program: z.object({ id: z.string(), module: z.string() }).optional(),
  /** The programs that the log may name; absent in what was stored before: only the log says. */
  programs: StoredPrograms.optional(),
  /** The program that could not migrate the room, and the number of its deploy; absent: none. */
  refused: z.object({ program: z.string(), deploy: whole }).optional(),
  /** The timer that a Brain has claimed that did not run it before; absent: none. */
  taken: z.object({
    ...{ by: z.string(), again: z.boolean(), key: z.string(), at_ms: z.number() },
    program: z.string(),
  }).optional(),
});

/** Where a room comes from: another one of its tenant, behind an entry of that. */
export interface RoomFork {
  readonly room_id: string;
  readonly offset: number;
  /** Whether what the other one had scheduled is this one's, too. */
  readonly with_timers: boolean;
}

/** Entries that are missing. */
export interface LostEntries {
  readonly from: number;
  readonly to: number;
  /** When that was accepted, Unix ms. */
  readonly at_ms: number;
}

/** A program by its id, and its module by its SHA-256. */
export interface ProgramName {
  readonly id: string;
  readonly module: string;
}

/** A program that could not migrate the room, and the number of the deploy. */
export interface RefusedProgram {
  readonly program: string;
  readonly deploy: number;
}

/** A timer that a Brain runs which another one may have died of. */
export interface TakenTimer {
  /** The life of that Brain. */
  readonly by: string;
  /** Whether another one had taken it up before. */
  readonly again: boolean;
  readonly key: string;
  /** When it was due, Unix ms. */
  readonly at_ms: number;
  /** The program that runs it, by its id. */
  readonly program: string;
}

/** What is stored of a room. */
export interface RoomRecord {
  readonly snapshot: string;
  readonly previous: string;
  readonly points: string;
  readonly offset: number;
  readonly published: { readonly offset: number; readonly index: number };
  readonly stream: string;
  readonly position: number;
  readonly is_behind: boolean;
  readonly behind_ms: number;
  readonly next_ms: number | null;
  readonly fork: RoomFork | null;
  readonly lost: readonly LostEntries[];
  readonly program?: ProgramName | undefined;
  readonly programs?: RoomPrograms | undefined;
  readonly refused?: RefusedProgram | undefined;
  readonly taken?: TakenTimer | undefined;
}

/** A record as bytes. */
export const encodeRecord = (record: RoomRecord): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(record));

/** The record of bytes; undefined for bytes that are none. Throws `incompatible-version`. */
export const decodeRecord = (bytes: Uint8Array): RoomRecord | undefined =>
  readStored(bytes, Record, "record of a room's reducer");
