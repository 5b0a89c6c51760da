/**
 * The state of a room with a reducer after an entry of its log: its values by key, what is scheduled, which
 * commands were answered lately, how far the log and its clock have come, and the digest of all that has
 * happened. A state is never changed: the next one shares what stayed the same with it. Applies nothing
 * (`fold.ts`) and bounds nothing (`draft.ts`).
 */
import { hash } from "node:crypto";
import { createSHA256, type IHasher } from "hash-wasm";
import trees from "sorted-btree";
import { CanonicalWriter } from "./canonical.ts";

/** A sorted map; its `clone` shares all of it until one of both is changed. */
export type Tree<K, V> = InstanceType<typeof trees.default<K, V>>;

/** Values by key, a text with one character for each byte, so that keys are in the order of their bytes. */
export type Values = Tree<string, Uint8Array>;

/** A command that waits for its time. */
export interface Timer {
  readonly at_ms: number;
  readonly command: string;
  readonly data: Uint8Array;
}

/** What a command came to; a repetition of it gets the same. */
export interface Answered {
  readonly kind: "applied" | "rejected" | "fault";
  /** 0 when it was applied, otherwise a code of HTTP. */
  readonly code: number;
  readonly reason: string;
  readonly answer: Uint8Array;
}

/** The answer to a command, and at which offset it was given. */
export interface Remembered extends Answered {
  readonly offset: number;
}

/** One state. */
export interface RoomState {
  readonly values: Values;
  /** Bytes of all keys and values. */
  readonly size_bytes: number;
  /** Timers by their keys. */
  readonly timers: Tree<string, Timer>;
  /** Answers by sender and id of the command (`rememberedKey`), and those by offset: oldest first. */
  readonly remembered: Tree<string, Remembered>;
  readonly remembered_at: Tree<number, string>;
  readonly remembered_bytes: number;
  /** Position of the last entry that counts in this state; 0 before the first. */
  readonly offset: number;
  /** The room's clock: the latest time that an entry had. */
  readonly time_ms: number;
  /** SHA-256 over the digest before it, the entry and what it did. */
  readonly chain: Uint8Array;
}

/** One for all maps: a function of its own for each would be a part of what a room at rest takes. */
const compare = (one: string | number, other: string | number): number =>
  one < other ? -1 : one > other ? 1 : 0;

/** A map without entries. */
export function tree<K extends string | number, V>(): Tree<K, V> {
  return new trees.default<K, V>(undefined, compare);
}

/** Up to so many bytes are digested here: asking the engine leaves memory to be freed, each time. */
const DIGESTED_BYTES = 4_096;
/** Nobody waits for it: a worker whose modules wait loses what is sent to it meanwhile. */
let sha256: IHasher | undefined;
createSHA256().then((made) => sha256 = made, () => {
  // Without it, the engine digests.
});

/** SHA-256. */
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

/** Under which key the answer to a command is remembered: two senders do not share ids. */
export const rememberedKey = (user_id: string, id: string): string =>
  `${user_id.length}:${user_id}${id}`;

/** Bytes that an answer counts with. */
export const rememberedBytes = (key: string, { reason, answer }: Answered): number =>
  key.length + reason.length + answer.length;

/** Writes values in the order of their keys. */
export function writeValues(writer: CanonicalWriter, values: Values): void {
  writer.u32(values.size);
  for (const [key, value] of values.entries()) writer.latin(key).bytes(value);
}

/** SHA-256 of the values alone: two rooms with the same values have the same, however they came to them. */
export function valuesDigest({ values }: RoomState): Uint8Array {
  const writer = new CanonicalWriter();
  writeValues(writer, values);
  return digestOf(writer.done());
}

/** A timer, by when it is due. */
export interface TimerAt {
  readonly key: string;
  readonly at_ms: number;
}

/** The timers that are due first, at most so many, in their order; of several at one time that with the lowest key. */
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
