/**
 * JSON as text, without values: whether a text is JSON, where its members and items are, so that they can be forwarded
 * unchanged (big numbers, spacing, order), and how deep it nests. For objects with many names, or nested lists, values
 * would take ten times as long.
 */
import { DecodeError } from "../errors/error.ts";

const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const LETTER_E = 0x65;
const LETTER_U = 0x75;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
/** The position of an error: beyond every text. */
const NOWHERE = -1;
const WORDS = new Map(["true", "false", "null"].map((word) => [word.charCodeAt(0), word]));
const HEX4 = /[0-9a-fA-F]{4}/y;

function isSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09;
}

/** The end of the white space at `at`. */
function afterSpace(text: string, at: number): number {
  while (at < text.length && isSpace(text.charCodeAt(at))) at++;
  return at;
}

/** Whether `JSON.parse` accepts the text. The other functions here do not validate. */
export function isJson(text: string): boolean {
  const closes: number[] = [];
  let at = afterSpace(text, 0);
  for (;;) {
    const unit = text.charCodeAt(at);
    if (unit === OPEN_BRACE || unit === OPEN_BRACKET) {
      // An empty object or list ends two characters later.
      const close = unit + 2;
      at = afterSpace(text, at + 1);
      if (text.charCodeAt(at) !== close) {
        closes.push(close);
        if (close === CLOSE_BRACE) at = afterName(text, at);
        continue;
      }
      at++;
    } else {
      at = unit === QUOTE ? afterText(text, at + 1) : afterWord(text, at, unit);
    }
    for (;;) {
      if (at === NOWHERE) return false;
      at = afterSpace(text, at);
      const close = closes.at(-1);
      if (close === undefined) return at === text.length;
      const next = text.charCodeAt(at++);
      if (next === COMMA) {
        at = afterSpace(text, at);
        if (close === CLOSE_BRACE) at = afterName(text, at);
        break;
      }
      if (next !== close) return false;
      closes.pop();
    }
  }
}

/** The position after a member's name and colon. */
function afterName(text: string, at: number): number {
  if (text.charCodeAt(at) !== QUOTE) return NOWHERE;
  const end = afterText(text, at + 1);
  const colon = end === NOWHERE ? NOWHERE : afterSpace(text, end);
  return text.charCodeAt(colon) === COLON ? afterSpace(text, colon + 1) : NOWHERE;
}

/** The position after the closing quote of a string; `at` is after the opening one. */
function afterText(text: string, at: number): number {
  for (; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) return at + 1;
    if (unit < 0x20) return NOWHERE;
    if (unit !== BACKSLASH) continue;
    const escaped = text.charCodeAt(++at);
    if (escaped === LETTER_U) {
      HEX4.lastIndex = at + 1;
      if (!HEX4.test(text)) return NOWHERE;
      at += 4;
    } else if (at >= text.length || !'"\\/bfnrt'.includes(text[at]!)) return NOWHERE;
  }
  return NOWHERE;
}

function afterWord(text: string, at: number, unit: number): number {
  const word = WORDS.get(unit);
  if (word !== undefined) return text.startsWith(word, at) ? at + word.length : NOWHERE;
  if (unit === MINUS) at++;
  at = text.charCodeAt(at) === ZERO ? at + 1 : afterDigits(text, at);
  if (text.charCodeAt(at) === DOT) at = afterDigits(text, at + 1);
  if ((text.charCodeAt(at) | 0x20) !== LETTER_E) return at;
  const sign = text.charCodeAt(++at);
  return afterDigits(text, sign === PLUS || sign === MINUS ? at + 1 : at);
}

/** The position after one or more digits. */
function afterDigits(text: string, start: number): number {
  let at = start;
  while (isDigit(text.charCodeAt(at))) at++;
  return at === start ? NOWHERE : at;
}

const isDigit = (unit: number) => unit >= ZERO && unit <= ZERO + 9;

/** One member of valid JSON; its value's text is `text.slice(start, end)`. */
export interface Member {
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

/** The position after a string of valid JSON; `at` is its opening quote. */
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

/**
 * The most levels of arrays and objects in a value that the bus embeds in its own JSON; a frame adds four. Parsers of
 * many languages have a limit (Ruby 100, Rust's `serde_json` 128, PHP 512), and would refuse the whole frame.
 */
export const JSON_DEPTH_MAX = 96;

/** Whether valid JSON has more levels of arrays and objects than `JSON_DEPTH_MAX`. */
export function nestsTooDeep(text: string): boolean {
  if (text.length <= 2 * JSON_DEPTH_MAX) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) at = afterString(text, at) - 1;
    // [ and { differ in one bit, as ] and }.
    else if ((unit | 0x20) === 0x7b && ++depth > JSON_DEPTH_MAX) return true;
    else if ((unit | 0x20) === 0x7d) depth--;
  }
  return false;
}
