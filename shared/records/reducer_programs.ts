/**
 * Which programs the log of a room with a reducer may name: noted in the room's record before the first entry by a
 * program is appended, so that nobody has to read logs to know which programs are needed. Pure.
 */
import { z } from "zod";
import type { StoredAs } from "./stored.ts";

const whole = z.int().min(0);

/** As a record has it. */
export const StoredPrograms = z.object({
  /** Behind this entry none is missing here; which the log names before it is to be read there. */
  from: whole,
  /** Each once; `to` is the last entry that may be by it; null: those that come may be, too. */
  named: z.array(z.object({ id: z.string(), to: whole.nullable() })),
});

/** All programs that the log may name. */
export type RoomPrograms = StoredAs<typeof StoredPrograms>;

/** Programs that a record reports at most: those of older entries are to be read in the log. */
const NAMED_MAX = 256;

/** Of a room without entries. */
export const NO_PROGRAMS: RoomPrograms = { from: 0, named: [] };

/** Once entries behind `offset` may be by a program. The same object where it says so already. */
export function withProgram(programs: RoomPrograms, id: string, offset: number): RoomPrograms {
  if (programs.named.some((one) => one.id === id && one.to === null)) return programs;
  const others = programs.named.filter((one) => one.id !== id)
    .map((one) => ({ ...one, to: one.to ?? offset }));
  const named = [...others, { id, to: null }];
  const gone = named.splice(0, Math.max(0, named.length - NAMED_MAX));
  return { from: Math.max(programs.from, ...gone.map(({ to }) => to ?? offset)), named };
}

/** What stays to be said once the log begins behind an entry. */
export function programsBehind({ from, named }: RoomPrograms, floor: number): RoomPrograms {
  return { from, named: named.filter(({ to }) => to === null || to > floor) };
}
