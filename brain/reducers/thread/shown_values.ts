/**
 * What is reported of a room's state for people: values page by page, and what one entry changes. Bounded in number and
 * bytes. Pure.
 */
import type { RoomState } from "../state/room_state.ts";

/** Bytes of values in one answer, of changes, and of one value; what is longer is cut. */
const VALUES_BYTES = 65_536;
const CHANGES_BYTES = 32_768;
const VALUE_BYTES = 8_192;
const CHANGES_MAX = 200;

/** Bytes as text, or in base64 where they are none; cut where they are many. */
export interface ShownBytes {
  readonly text?: string;
  readonly base64?: string;
  /** How many there are. */
  readonly size_bytes: number;
}

/** A value. */
export interface ValueText {
  readonly key: ShownBytes;
  readonly value: ShownBytes;
}

/** What an entry made of a value; null: there was none, or is none any longer. */
export interface ChangeText {
  readonly key: ShownBytes;
  readonly before: ShownBytes | null;
  readonly after: ShownBytes | null;
}

/** Which values. */
export interface ShowOptions {
  /** How their keys begin, one character for each byte, and the key that they are behind. */
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
}

/** A page of values. */
export interface ValuesPage {
  readonly values: readonly ValueText[];
  /** The key to go on behind, one character for each byte; undefined: there are no more. */
  readonly next: string | undefined;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes for people. */
export function shownBytes(bytes: Uint8Array): ShownBytes {
  const size_bytes = bytes.length;
  try {
    const text = strict.decode(bytes);
    return { text: size_bytes > VALUE_BYTES ? text.slice(0, VALUE_BYTES / 2) : text, size_bytes };
  } catch {
    return { base64: bytes.subarray(0, VALUE_BYTES / 2).toBase64(), size_bytes };
  }
}

const keyBytes = (key: string) => Uint8Array.from(key, (one) => one.charCodeAt(0));
const shownKey = (key: string) => shownBytes(keyBytes(key));

/** One page of the values. */
export function valuesPage(state: RoomState, { prefix, after, limit }: ShowOptions): ValuesPage {
  const values: ValueText[] = [];
  let bytes = 0;
  let last = after;
  for (const [key, value] of state.values.entries(after > prefix ? after : prefix)) {
    if (!key.startsWith(prefix)) break;
    if (after !== "" && key <= after) continue;
    bytes += key.length + Math.min(value.length, VALUE_BYTES);
    if (values.length === limit || values.length > 0 && bytes > VALUES_BYTES) {
      return { values, next: last };
    }
    values.push({ key: shownKey(key), value: shownBytes(value) });
    last = key;
  }
  return { values, next: undefined };
}

/** What is another value in `state` than it was in `before`, of the keys that an entry has written. */
export function changesPage(
  before: RoomState,
  changes: ReadonlyMap<string, Uint8Array | null>,
): ChangeText[] {
  const shown: ChangeText[] = [];
  let bytes = 0;
  for (const [key, after] of [...changes].sort(([one], [other]) => one < other ? -1 : 1)) {
    const was = before.values.get(key);
    for (const one of [was, after]) bytes += Math.min(one?.length ?? 0, VALUE_BYTES);
    bytes += key.length;
    if (shown.length === CHANGES_MAX || shown.length > 0 && bytes > CHANGES_BYTES) break;
    shown.push({
      key: shownKey(key),
      before: was === undefined ? null : shownBytes(was),
      after: after === null ? null : shownBytes(after),
    });
  }
  return shown;
}
