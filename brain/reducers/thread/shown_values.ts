/**
 * The state of a room for people: values page by page, and the changes of one entry. Limited in number and bytes. Pure.
 */
import { utf8OrUndefined } from "@arqon/proto";
import { type RoomState, valuesBehind } from "../state/room_state.ts";

/** Most bytes of values in one answer, of changes, and of one value; longer ones are cut. */
const VALUES_BYTES = 65_536;
const CHANGES_BYTES = 32_768;
const VALUE_BYTES = 8_192;
const CHANGES_MAX = 200;

/** Bytes as text, or in base64 if they are not UTF-8; cut if long. */
export interface ShownBytes {
  readonly text?: string;
  readonly base64?: string;
  readonly size_bytes: number;
}

/** A visible key and its value, for people. */
interface ValueText {
  readonly key: ShownBytes;
  readonly value: ShownBytes;
}

/** The new value of a key after an entry; null: none. */
export interface ChangeText {
  readonly key: ShownBytes;
  readonly before: ShownBytes | null;
  readonly after: ShownBytes | null;
}

/** Which values. */
export interface ShowOptions {
  /** The prefix of keys, and the key before the first, one character for each byte. */
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
}

/** A page of values, and the key of the next one. */
export interface ValuesPage {
  readonly values: readonly ValueText[];
  /** The key to continue after, one character for each byte; undefined: the last page. */
  readonly next: string | undefined;
}

/** Bytes for people. */
export function shownBytes(bytes: Uint8Array): ShownBytes {
  const size_bytes = bytes.length;
  const text = utf8OrUndefined(bytes);
  if (text === undefined) {
    return { base64: bytes.subarray(0, VALUE_BYTES / 2).toBase64(), size_bytes };
  }
  return { text: size_bytes > VALUE_BYTES ? text.slice(0, VALUE_BYTES / 2) : text, size_bytes };
}

const keyBytes = (key: string) => Uint8Array.from(key, (one) => one.charCodeAt(0));
const shownKey = (key: string) => shownBytes(keyBytes(key));

/** One page of the values. */
export function valuesPage(state: RoomState, { prefix, after, limit }: ShowOptions): ValuesPage {
  const values: ValueText[] = [];
  let bytes = 0;
  let last = after;
  for (const [key, value] of valuesBehind(state.values, prefix, after)) {
    bytes += key.length + Math.min(value.length, VALUE_BYTES);
    if (values.length === limit || values.length > 0 && bytes > VALUES_BYTES) {
      return { values, next: last };
    }
    values.push({ key: shownKey(key), value: shownBytes(value) });
    last = key;
  }
  return { values, next: undefined };
}

/** The keys written by an entry whose values differ between `state` and `before`. */
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
