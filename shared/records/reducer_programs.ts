/**
 * The programs that the log of a room with a reducer may name. The room's record has them before the first entry by a
 * program is appended, so that the needed programs are known without reading logs. Pure.
 */
import { z } from "zod";
import type { StoredAs } from "./stored.ts";

const whole = z.int().min(0);

/** The stored form. */
export const StoredPrograms = z.object({
  /** The list is complete for entries after this one; earlier ones must be read from the log. */
  from: whole,
  /** Each once; `to` is the last entry that may be by it; null: later entries may be, too. */
  named: z.array(z.object({ id: z.string(), to: whole.nullable() })),
});

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
