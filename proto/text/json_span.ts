/**
 * Finds the members of a JSON object in its text, so that values can be forwarded unchanged: big numbers, spacing,
 * order. The text must be valid JSON; it is not validated.
 */
import { DecodeError } from "../errors/decode_error.ts";

/** One member; its value's text is `text.slice(start, end)`. */
export interface Member {
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

function isSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09;
}

/** The end of the white space at `at`. */
export function afterSpace(text: string, at: number): number {
  while (at < text.length && isSpace(text.charCodeAt(at))) at++;
  return at;
}

/** The position after a string; `at` is its opening quote. */
export function afterString(text: string, at: number): number {
  for (at++; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) return at + 1;
    if (unit === BACKSLASH) at++;
  }
  return text.length;
}

function afterValue(text: string, at: number): number {
  const first = text.charCodeAt(at);
  if (first === QUOTE) return afterString(text, at);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return afterScalar(text, at);
  let depth = 0;
  while (at < text.length) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) {
      at = afterString(text, at);
      continue;
    }
    at++;
    if (unit === OPEN_BRACE || unit === OPEN_BRACKET) depth++;
    else if ((unit === CLOSE_BRACE || unit === CLOSE_BRACKET) && --depth === 0) break;
  }
  return at;
}

function afterScalar(text: string, at: number): number {
  for (; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === COMMA || unit === CLOSE_BRACE || unit === CLOSE_BRACKET || isSpace(unit)) break;
  }
  return at;
}

function decodeKey(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1);
  return raw.includes("\\") ? JSON.parse(`"${raw}"`) : raw;
}

/** The span of a value in its text. */
export type Span = Pick<Member, "start" | "end">;

/** The items of the array at `start`; throws the error of `tooMany()` above `limit`. */
export function arrayItems(
  text: string,
  start: number,
  limit: number,
  tooMany: () => Error,
): Span[] {
  const items: Span[] = [];
  let at = afterSpace(text, start + 1);
  while (at < text.length && text.charCodeAt(at) !== CLOSE_BRACKET) {
    if (items.length >= limit) throw tooMany();
    const end = afterValue(text, at);
    items.push({ start: at, end });
    at = afterSpace(text, end);
    if (text.charCodeAt(at) === COMMA) at = afterSpace(text, at + 1);
  }
  return items;
}

/**
 * The members of the object at or after `start`, by name. Throws `DecodeError`: `repeated-field` for a repeated name
 * (`JSON.parse` would use the last), and the error of `tooMany()` above `limit`.
 */
export function objectMembers(
  text: string,
  start: number,
  limit: number,
  tooMany: () => DecodeError,
): Map<string, Member> {
  const members = new Map<string, Member>();
  let at = afterSpace(text, start) + 1;
  for (;;) {
    at = afterSpace(text, at);
    if (text.charCodeAt(at) !== QUOTE) return members;
    const key_end = afterString(text, at);
    const key = decodeKey(text, at, key_end);
    if (members.has(key)) throw new DecodeError("repeated-field", JSON.stringify(key.slice(0, 64)));
    if (members.size >= limit) throw tooMany();
    const value_start = afterSpace(text, afterSpace(text, key_end) + 1);
    const value_end = afterValue(text, value_start);
    members.set(key, { key, start: value_start, end: value_end });
    at = afterSpace(text, value_end);
    if (text.charCodeAt(at) !== COMMA) return members;
    at++;
  }
}
