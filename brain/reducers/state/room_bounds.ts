/** The bounds of one room with a reducer, and of one command in it. Data only; `draft.ts` enforces them. */

/** The bounds of a room. A command that would cross one is refused. */
export interface RoomBounds {
  readonly keys: number;
  readonly key_bytes: number;
  readonly value_bytes: number;
  /** Bytes of all keys and values together. */
  readonly state_bytes: number;
  /** Events of one command, and their bytes: type, data and recipient. */
  readonly events: number;
  readonly event_bytes: number;
  readonly answer_bytes: number;
  /** Scheduled commands, and bytes of one: key, name and data. */
  readonly timers: number;
  readonly timer_bytes: number;
  /** The shortest delay of a scheduled command, so that no timer runs without time passing. */
  readonly least_delay_ms: number;
  /** Commands whose ids are remembered with their answers, and the bytes of all of those. */
  readonly remembered: number;
  readonly remembered_bytes: number;
}

/** The defaults. */
export const ROOM_BOUNDS: RoomBounds = {
  keys: 10_000,
  key_bytes: 256,
  value_bytes: 65_536,
  state_bytes: 4_194_304,
  events: 64,
  event_bytes: 262_144,
  answer_bytes: 16_384,
  timers: 64,
  timer_bytes: 4_096,
  least_delay_ms: 10,
  remembered: 1_000,
  remembered_bytes: 1_048_576,
};
