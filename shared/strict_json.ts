/**
 * JSON with one meaning for every parser: no duplicate members in an object (parsers differ in which one counts), and
 * no number beyond a double (it would be read as infinite). For small texts that decide something, such as claims, key
 * sets and operators' orders; not for messages.
 */
import { afterJsonString, utf8OrUndefined } from "@arqon/proto";

/** Names that a complaint repeats: short, and nothing that could change how a log reads. */
const SHOWABLE = /^[ -~]{1,64}$/;
/** Where a number ends. */
const NUMBER = /-?[0-9][0-9.eE+-]*/y;
const COLON = /[ \t\r\n]*:/y;

/** The end of `shape` at `at`; -1 if it is not there. */
function afterMatch(shape: RegExp, text: string, at: number): number {
  shape.lastIndex = at;
  return shape.test(text) ? shape.lastIndex : -1;
}

function shown(name: string): string {
  return SHOWABLE.test(name) ? JSON.stringify(name) : "a member";
}

/** The ambiguity in a text that `JSON.parse` accepts; undefined if there is none. */
function ambiguity(text: string): string | undefined {
  /** Names so far of each open object; arrays have none. */
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length;) {
    const unit = text[at] ?? "";
    if (unit === '"') {
      const end = afterJsonString(text, at);
      // In JSON only the name of a member is followed by a colon.
      if (afterMatch(COLON, text, end) >= 0) {
        const name: string = JSON.parse(text.slice(at, end));
        const names = open.at(-1);
        if (names?.has(name)) return `${shown(name)} occurs twice`;
        names?.add(name);
      }
      at = end;
      continue;
    }
    if (unit === "-" || unit >= "0" && unit <= "9") {
      const number_end = afterMatch(NUMBER, text, at);
      if (!Number.isFinite(Number(text.slice(at, number_end)))) {
        return "a number in it is too large";
      }
      at = number_end;
      continue;
    }
    if (unit === "{") open.push(new Set());
    else if (unit === "[") open.push(undefined);
    else if (unit === "}" || unit === "]") open.pop();
    at++;
  }
  return undefined;
}

/** JSON with a duplicate member or a number beyond a double. */
export class AmbiguousJsonError extends SyntaxError {}

/**
 * The value of a JSON text. Throws SyntaxError for invalid JSON, AmbiguousJsonError for ambiguous JSON; the message
 * completes "the text is wrong: …" and shows no value.
 */
export function parseStrictJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    // The runtime's own words are the cause only: they quote the text.
    throw new SyntaxError("it is not JSON", { cause });
  }
  const problem = ambiguity(text);
  if (problem !== undefined) throw new AmbiguousJsonError(problem);
  return value;
}

/** As `parseStrictJson`, for bytes, which have to be UTF-8 without a byte order mark. */
export function parseStrictJsonBytes(bytes: Uint8Array): unknown {
  const text = utf8OrUndefined(bytes);
  if (text === undefined) throw new SyntaxError("it is not UTF-8");
  return parseStrictJson(text);
}
