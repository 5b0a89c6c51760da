/**
 * The visible values of a room, and their form for clients: JSON texts, or `{"base64":…}` for bytes that are not UTF-8.
 * A key that is not UTF-8 is never visible. Pure.
 */
import { utf8OrUndefined } from "@arqon/proto";
import { createHash } from "node:crypto";
import { latinOf } from "../state/canonical.ts";
import { type Values, valuesBehind } from "../state/room_state.ts";

const encoder = new TextEncoder();

/** The visible prefixes of keys, sorted, none within another. */
export interface Shown {
  /** One character for each byte; empty: nothing is visible. */
  readonly prefixes: readonly string[];
  readonly scope: string;
}

/** A visible key and its value; null: deleted. */
export type ShownValue = readonly [key: string, value: Uint8Array | null];

/** A text in the form of keys: one character for each byte. */
export const keyOf = (text: string): string => latinOf(encoder.encode(text));

const SCOPE_CHARACTERS = 12;

const digestOf = (text: string) =>
  createHash("sha256").update(text).digest("hex").slice(0, SCOPE_CHARACTERS);

/**
 * The scope of a room's values in one incarnation of its log and one life of the room; `life` is undefined in the old
 * format. In another one entries may begin at 1 again: a subscriber with higher offsets sees a new scope, and does not
 * wait for its number.
 */
export const scopeIn = (
  { scope }: Pick<Shown, "scope">,
  stream: string,
  life: string | undefined,
): string => digestOf(JSON.stringify([scope, stream, ...(life === undefined ? [] : [life])]));

/** The visible values of a class with these prefixes. */
export function shownBy(visible: readonly string[]): Shown {
  const sorted = [...new Set(visible.map(keyOf))].sort();
  const prefixes: string[] = [];
  for (const prefix of sorted) {
    const last = prefixes.at(-1);
    if (last === undefined || !prefix.startsWith(last)) prefixes.push(prefix);
  }
  return { prefixes, scope: digestOf(JSON.stringify(prefixes)) };
}

/** The text of a key; undefined: not visible. */
function shownKey(key: string, prefixes: readonly string[]): string | undefined {
  if (!prefixes.some((prefix) => key.startsWith(prefix))) return undefined;
  return utf8OrUndefined(Uint8Array.from(key, (byte) => byte.charCodeAt(0)));
}

/** The visible changes of an entry. */
export function shownChanges(
  changes: ReadonlyMap<string, Uint8Array | null>,
  prefixes: readonly string[],
): ShownValue[] {
  if (prefixes.length === 0) return [];
  return [...changes].flatMap(([key, value]) => {
    const text = shownKey(key, prefixes);
    return text === undefined ? [] : [[text, value] as const];
  });
}

/** A request for a page. */
export interface PageAsked {
  readonly prefix: string;
  /** Only keys above this one; "": all. */
  readonly after: string;
  readonly prefixes: readonly string[];
  readonly max_bytes: number;
}

/** Values in the order of their keys, at least one if there is one, and whether there are more. */
export interface ShownPage {
  readonly values: readonly ShownValue[];
  readonly more: boolean;
}

/** The visible values with a prefix. */
export function pageOf(
  values: Values,
  { prefix, after, prefixes, max_bytes }: PageAsked,
): ShownPage {
  const found: ShownValue[] = [];
  let left = max_bytes;
  for (const visible of prefixes) {
    if (!visible.startsWith(prefix) && !prefix.startsWith(visible)) continue;
    const begins = visible.length > prefix.length ? visible : prefix;
    for (const [key, value] of valuesBehind(values, begins, after)) {
      const text = shownKey(key, prefixes);
      if (text === undefined) continue;
      left -= key.length + value.length;
      if (left < 0 && found.length > 0) return { values: found, more: true };
      found.push([text, value]);
    }
  }
  return { values: found, more: false };
}

/** A value as JSON: a text, or base64 if it is not UTF-8 or base64 is shorter. */
export function valueJson(value: Uint8Array | null): string {
  if (value === null) return "null";
  const text = utf8OrUndefined(value);
  const json = text === undefined ? undefined : JSON.stringify(text);
  if (json !== undefined && json.length <= 2 + 2 * value.length) return json;
  return `{"base64":"${value.toBase64()}"}`;
}
