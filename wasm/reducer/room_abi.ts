/**
 * The functions of `arqon_room_v1` and the exports of a reducer, by their names and signatures. Data;
 * `brain/reducers/guest/reducer_guest.ts` implements the functions.
 */

/** Types of parameters and of results: `i` is i32, `I` is i64. */
export type Signature = readonly [parameters: string, results: string];

/** Every function and its signature. */
export const ROOM_FUNCTIONS: Readonly<Record<string, Signature>> = {
  room_field: ["i", "i"],
  room_claim: ["ii", "i"],
  room_now: ["", "I"],
  room_offset: ["", "I"],
  room_random: ["", "I"],
  room_read: ["ii", "i"],
  room_write: ["iiii", ""],
  room_delete: ["ii", ""],
  room_scan: ["iiiii", "i"],
  room_emit: ["iiiiii", ""],
  room_answer: ["ii", ""],
  room_schedule: ["iiIiiii", ""],
  room_unschedule: ["ii", ""],
  room_log: ["iii", ""],
  room_reject: ["iii", ""],
};

/** Runs once per instance, before its first command. */
export const INIT_EXPORT = "arqon_init";
/** Runs for each command. */
export const APPLY_EXPORT = "arqon_apply";
/** Runs once in a room that had another module before. */
export const MIGRATE_EXPORT = "arqon_migrate";
