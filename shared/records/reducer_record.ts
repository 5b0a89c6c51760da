/**
 * The stored state of a room with a reducer beside its log: its last snapshot, and whether it has work without a call.
 * In the bucket `ARQON_REDUCERS` under `[tenant, room]`. Pure; Brains write it.
 */
import { z } from "zod";
import { readStored, requireStored, type StoredAs, storedBytes } from "./stored.ts";

/** The bucket. Keys: `[tenant_id, room_id]`. */
export const REDUCERS_BUCKET = "ARQON_REDUCERS";
/** The store of snapshots, programs and modules. */
export const REDUCER_OBJECTS = "ARQON_REDUCER_OBJECTS";

/** The object of a module, by its hex SHA-256. */
export const moduleName = (sha256: string): string => `module-${sha256}`;

const whole = z.int().min(0);

/** The origin of a room: another room of its tenant, up to an entry. */
const Fork = z.object({
  room_id: z.string(),
  offset: whole,
  /** Whether the fork takes over the scheduled commands. */
  with_timers: z.boolean(),
  /** The life of that room. */
  life: z.string(),
});

/** Missing entries, and when an operator accepted that, Unix ms. */
const Lost = z.object({ from: whole, to: whole, at_ms: whole });

/** A program by its id, and its module by its SHA-256. */
const Name = z.object({ id: z.string(), module: z.string() });

/** A program that could not migrate the room, and the number of the deploy. */
const Refused = z.object({ program: z.string(), deploy: whole });

/** A timer claimed by a Brain, because another Brain may have died of it. */
const Taken = z.object({
  /** The run of that Brain. */
  by: z.string(),
  /** Whether another one had claimed it before. */
  again: z.boolean(),
  key: z.string(),
  /** When it was due, Unix ms. */
  at_ms: z.number(),
  /** The program that runs it, by its id. */
  program: z.string(),
});

/** The programs that a log may name. */
const StoredPrograms = z.object({
  /** The list is complete for entries after this one; earlier ones must be read from the log. */
  from: whole,
  /** Each once; `to` is the last entry that may be by it; null: later entries may be, too. */
  named: z.array(z.object({ id: z.string(), to: whole.nullable() })),
});

const Members = {
  /** The snapshot's object; "": none yet, and the log is complete. */
  snapshot: z.string(),
  /** The previous snapshot, which a running backup may name; "": none. */
  previous: z.string(),
  /** The object with the list of snapshots (`reducer_points.ts`); "": none. */
  points: z.string(),
  /** The last entry in it. */
  offset: whole,
  /** The last event that was published then. */
  published: z.object({ offset: whole, index: whole }),
  /** The incarnation of the tenant's log, and the position of the last message in the snapshot. */
  stream: z.string(),
  position: whole,
  /** Whether entries may follow the snapshot. */
  is_behind: z.boolean(),
  /** Since when they may, Unix ms. */
  behind_ms: whole,
  /** When the first timer is due, Unix ms; null: there is none. */
  next_ms: whole.nullable(),
  /** The source of a fork and its last entry; null: the room began empty. */
  fork: Fork.nullable(),
  /** The last entries whose loss an operator accepted. */
  lost: z.array(Lost),
  /** The program in force at the snapshot; absent: none yet. */
  program: Name.optional(),
  /** The programs that the log may name. */
  programs: StoredPrograms,
  /** The program that could not migrate the room; absent: none. */
  refused: Refused.optional(),
  /** The timer that a Brain claimed after a change of owner; absent: none. */
  taken: Taken.optional(),
  /** The id of the room from its first entry to its erasure. */
  life: z.string(),
};

const Record = z.looseObject(Members);

/** The decoded origin of a fork. */
export type RoomFork = StoredAs<typeof Fork>;

/** A program by id, and its module by SHA-256. */
export type ProgramName = StoredAs<typeof Name>;

/** A program that could not migrate the room. */
export type RefusedProgram = StoredAs<typeof Refused>;

/** A claimed timer, decoded. */
export type TakenTimer = StoredAs<typeof Taken>;

/** The decoded record of a room. */
export type RoomRecord = StoredAs<z.ZodObject<typeof Members>>;

/** The stored form: JSON. */
export const encodeRecord: (record: RoomRecord) => Uint8Array = storedBytes;

/** Decodes a record; undefined for any other bytes. Throws `incompatible-version`. */
export const decodeRecord = (bytes: Uint8Array): RoomRecord | undefined =>
  readStored(bytes, Record, "record of a room's reducer");

/** The programs that a log may name, decoded. */
export type RoomPrograms = StoredAs<typeof StoredPrograms>;

/** The most programs in a record: those of older entries must be read from the log. */
const NAMED_MAX = 256;

/** For a room without entries. */
export const NO_PROGRAMS: RoomPrograms = { from: 0, named: [] };

/** Adds a program for entries after `offset`. Returns the same object if it is there. */
export function withProgram(programs: RoomPrograms, id: string, offset: number): RoomPrograms {
  if (programs.named.some((one) => one.id === id && one.to === null)) return programs;
  const others = programs.named.filter((one) => one.id !== id)
    .map((one) => ({ ...one, to: one.to ?? offset }));
  const named = [...others, { id, to: null }];
  const gone = named.splice(0, Math.max(0, named.length - NAMED_MAX));
  return { from: Math.max(programs.from, ...gone.map(({ to }) => to ?? offset)), named };
}

/** The programs of entries after the new start of a log. */
export function programsBehind({ from, named }: RoomPrograms, floor: number): RoomPrograms {
  return { from, named: named.filter(({ to }) => to === null || to > floor) };
}

/** The key, which no room has: no tenant has that name. */
export const REMOVAL_KEY = ["*", "modules"] as const;

const Document = z.object({
  /** Grows by one with each removal. */
  number: z.int().min(0),
  /** Hex SHA-256 of each; empty: done. */
  modules: z.array(z.string().regex(/^[0-9a-f]{64}$/)),
});

type ReducerRemoval = StoredAs<typeof Document>;

/** The stored form: JSON. */
export const encodeRemoval: (document: ReducerRemoval) => Uint8Array = storedBytes;

/** Decodes a document; no bytes: nothing was removed yet. Throws for invalid bytes. */
export const decodeRemoval = (bytes: Uint8Array | undefined): ReducerRemoval =>
  bytes === undefined
    ? { number: 0, modules: [] }
    : requireStored(bytes, Document, "removal of modules");
