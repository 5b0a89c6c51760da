/**
 * JSON kept as text. Values pass through the Brain unchanged, so that a number beyond 2^53 or `1.0` keeps its form.
 * `isJson` validates the text; these functions only split and compact valid text. Not a JSON parser.
 */
import { afterJsonString, DecodeError, isJson, jsonMembers } from "@arqon/proto";

const QUOTE = 0x22;

/**
 * Drops the white space between the tokens of valid JSON and nothing else. The result has no line feed and no tab,
 * since within a JSON string both are always escaped.
 */
export function compactJson(text: string): string {
  const parts: string[] = [];
  let from = 0;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = afterJsonString(text, at);
    } else if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
      if (at > from) parts.push(text.slice(from, at));
      from = ++at;
    } else {
      at++;
    }
  }
  if (from === 0) return text;
  parts.push(text.slice(from));
  return parts.join("");
}

/**
 * The members of one JSON object: name to compact value text. Throws SyntaxError for text that is not JSON or not an
 * object, and DecodeError for a duplicate member (`JSON.parse` would keep the last, so an earlier reader might have
 * seen another) or, before reading the rest, for more than `most` members.
 */
export function objectMembers(text: string, most = Infinity): Map<string, string> {
  // Building the values of many small objects would take ten times as long as this scan.
  if (!isJson(text) || !text.trimStart().startsWith("{")) {
    throw new SyntaxError("expected a JSON object");
  }
  const tooMany = () => new DecodeError("malformed-frame", `more than ${most} members`);
  const members = jsonMembers(text, 0, most, tooMany).values();
  return new Map(
    Array.from(members, ({ key, start, end }) => [key, compactJson(text.slice(start, end))]),
  );
}
