/**
 * Whether a text is JSON, exactly as for `JSON.parse`, but without creating values. For objects with many names, or
 * nested lists, creating them takes ten times as long, and forwarding text does not need them.
 */
import { afterSpace } from "./json_span.ts";

const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const LETTER_E = 0x65;
const LETTER_U = 0x75;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
/** The position of an error: beyond every text. */
const NOWHERE = -1;
const WORDS = new Map(["true", "false", "null"].map((word) => [word.charCodeAt(0), word]));
const HEX4 = /[0-9a-fA-F]{4}/y;

/** Whether `JSON.parse` accepts the text. */
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
