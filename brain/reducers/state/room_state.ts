/**
 * The state of a room with a reducer after an entry of its log: values by key, timers, recently answered commands, the
 * position of the log and its clock, and the digest of the history. Immutable: the next state shares what did not
 * change. Applies nothing and checks no bounds (`fold.ts`).
 */
import { hash } from "node:crypto";
import { createSHA256, type IHasher } from "hash-wasm";
import trees from "sorted-btree";
import { CanonicalWriter } from "./canonical.ts";

/** A sorted map; its `clone` shares everything until one of the two changes. */
export type Tree<K, V> = InstanceType<typeof trees.default<K, V>>;

/** Values by key: a text with one character for each byte, so that keys sort as their bytes. */
export type Values = Tree<string, Uint8Array>;

/** A scheduled command. */
export interface Timer {
  readonly at_ms: number;
  readonly command: string;
  readonly data: Uint8Array;
}

/** The answer to a command; a repetition gets the same. */
export interface Answered {
  readonly kind: "applied" | "rejected" | "fault";
  /** 0 if it was applied, otherwise an HTTP status. */
  readonly code: number;
  readonly reason: string;
  readonly answer: Uint8Array;
}

/** The answer to a command, and the offset of its entry. */
export interface Remembered extends Answered {
  readonly offset: number;
}

/** A state after an entry. Immutable. */
export interface RoomState {
  readonly values: Values;
  /** Bytes of all keys and values. */
  readonly size_bytes: number;
  readonly timers: Tree<string, Timer>;
  /** Answers by sender and command id (`rememberedKey`), and their keys by offset: oldest first. */
  readonly remembered: Tree<string, Remembered>;
  readonly remembered_at: Tree<number, string>;
  readonly remembered_bytes: number;
  /** Offset of the last entry in this state; 0 before the first. */
  readonly offset: number;
  /** The room's clock: the latest time of any entry. */
  readonly time_ms: number;
  /** SHA-256 over the previous digest, the entry and its effects. */
  readonly chain: Uint8Array;
}

/** One function for all maps: one for each would be a large part of an idle room. */
const compare = (one: string | number, other: string | number): number =>
  one < other ? -1 : one > other ? 1 : 0;

/** An empty map. */
export function tree<K extends string | number, V>(): Tree<K, V> {
  return new trees.default<K, V>(undefined, compare);
}

/** Up to this many bytes are digested here: each call of the engine leaves garbage. */
const DIGESTED_BYTES = 4_096;
/** Not awaited: a worker whose modules wait loses messages sent meanwhile. */
let sha256: IHasher | undefined;
createSHA256().then((made) => sha256 = made, () => {
  // Until it is loaded, the engine digests.
});

/** SHA-256, 32 bytes. */
export function digestOf(bytes: Uint8Array): Uint8Array {
  if (sha256 === undefined || bytes.length > DIGESTED_BYTES) {
    return new Uint8Array(hash("sha256", bytes, "buffer"));
  }
  return sha256.init().update(bytes).digest("binary");
}

/** A room before the first entry of its log. */
export function emptyRoom(): RoomState {
  return {
    values: tree(),
    size_bytes: 0,
    timers: tree(),
    remembered: tree(),
    remembered_at: tree(),
    remembered_bytes: 0,
    offset: 0,
    time_ms: 0,
    chain: digestOf(new TextEncoder().encode("arqon_room_v1")),
  };
}

/** The key of a remembered answer: two senders do not share ids. */
export const rememberedKey = (user_id: string, id: string): string =>
  `${user_id.length}:${user_id}${id}`;

/** The bytes that an answer counts as. */
export const rememberedBytes = (key: string, { reason, answer }: Answered): number =>
  key.length + reason.length + answer.length;

/** The values whose keys begin with `prefix` and are above `after` ("": all of these), in order. */
export function* valuesBehind(
  values: Values,
  prefix: string,
  after: string,
): Generator<[key: string, value: Uint8Array], void> {
  for (const entry of values.entries(after > prefix ? after : prefix)) {
    if (!entry[0].startsWith(prefix)) return;
    if (after === "" || entry[0] > after) yield entry;
  }
}

/** Writes values in the order of their keys. */
export function writeValues(writer: CanonicalWriter, values: Values): void {
  writer.u32(values.size);
  for (const [key, value] of values.entries()) writer.latin(key).bytes(value);
}

/** SHA-256 of the values alone: rooms with the same values have the same digest, whatever their history. */
export function valuesDigest({ values }: RoomState): Uint8Array {
  const writer = new CanonicalWriter();
  writeValues(writer, values);
  return digestOf(writer.done());
}

/** A timer and its due time. */
export interface TimerAt {
  readonly key: string;
  readonly at_ms: number;
}

/** The timers that are due first, in order, up to a limit; at the same time, lower keys first. */
export function nextTimers({ timers }: Pick<RoomState, "timers">, most: number): TimerAt[] {
  const next: TimerAt[] = [];
  for (const [key, { at_ms }] of timers.entries()) {
    const last = next.at(-1);
    if (next.length === most && last !== undefined && at_ms >= last.at_ms) continue;
    const at = next.findLastIndex((one) => one.at_ms <= at_ms) + 1;
    next.splice(at, 0, { key, at_ms });
    if (next.length > most) next.pop();
  }
  return next;
}

/** The timer that is due first. */
export const nextTimer = (state: Pick<RoomState, "timers">): TimerAt | undefined =>
  nextTimers(state, 1)[0];

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

interface Placed {
  /** Position in the room's log, above 0 and above the previous entry's. */
  readonly offset: number;
  /** When it was written, Unix ms by the writer's clock, which may have gone back. */
  readonly time_ms: number;
  /** 16 bytes of the command's randomness, unpredictable before the entry was written. */
  readonly seed: Uint8Array;
}

/** A command and its sender. */
export interface Asked {
  readonly command: string;
  readonly data: Uint8Array;
  /** The sender's id of the command; "" if it has none, and then a repetition is a new command. */
  readonly id: string;
  readonly user_id: string;
  readonly role: string;
  readonly claims: Readonly<Record<string, string>>;
}

/** A command of a client. */
export interface CommandEntry extends Placed, Asked {
  readonly kind: "command";
}

/** A timer is due. The state has its command. */
export interface TimerEntry extends Placed {
  readonly kind: "timer";
  readonly key: string;
}

/** Another module becomes the program of the room, and migrates its values. */
export interface MigrateEntry extends Placed {
  readonly kind: "migrate";
  /** Hex SHA-256 of the previous module. */
  readonly from: string;
  /** The number of the deploy; 0: the configuration. */
  readonly deploy: number;
}

/** An entry of any kind, by `kind`. */
export type LogEntry = CommandEntry | TimerEntry | MigrateEntry;

/** An event for all subscribers of the room, or for some. */
export interface RoomEvent {
  readonly type: string;
  readonly data: Uint8Array;
  /** "" for everybody, `user:ID` or `role:NAME`. */
  readonly to: string;
}

/** Why a reducer reached no verdict. */
export type ReducerFault = "fuel" | "trap" | "memory" | "abi" | "bounds";

/** The outcome of an entry. Unless `kind` is `applied`, no value, timer or event has changed. */
export interface Outcome extends Answered {
  readonly fault: ReducerFault | undefined;
  /** What was wrong, for people; may differ between engines. */
  readonly detail: string;
  /** The offset of the command that this one repeats, with the same answer. */
  readonly repeats: number | undefined;
  readonly events: readonly RoomEvent[];
  /** Changed values by key; null: deleted. */
  readonly changes: ReadonlyMap<string, Uint8Array | null>;
  /** Changed timers by key; null: cancelled. */
  readonly scheduled: ReadonlyMap<string, Timer | null>;
}
