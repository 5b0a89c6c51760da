/**
 * How large the state of one room with a reducer may be, and how much one command may do to it. Data only;
 * `draft.ts` holds commands to it.
 */

/** The bounds of a room. Every one is a refusal of the command that would cross it. */
export interface RoomBounds {
  /** Values that the room may have. */
  readonly keys: number;
  /** Bytes of one key. */
  readonly key_bytes: number;
  /** Bytes of one value. */
  readonly value_bytes: number;
  /** Bytes of all keys and values together. */
  readonly state_bytes: number;
  /** Events of one command, and the bytes of them all: type, data and recipient. */
  readonly events: number;
  readonly event_bytes: number;
  readonly answer_bytes: number;
  /** Commands that wait for their time, and bytes of one: key, name and data. */
  readonly timers: number;
  readonly timer_bytes: number;
  /** How far ahead a command is scheduled at least, so that no timer runs without time passing. */
  readonly least_delay_ms: number;
  /** Commands whose ids are remembered with their answers, and bytes of all of those. */
  readonly remembered: number;
  readonly remembered_bytes: number;
}

/** What holds where nothing else was asked for. */
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
