/**
 * The maximum nesting of JSON that the bus embeds in its own JSON. Parsers of many languages have a limit (Ruby 100
 * levels, Rust's `serde_json` 128, PHP 512, Python about 1,000), and would refuse the whole frame, not only the value.
 * Not a JSON parser.
 */
import { afterString } from "./json_span.ts";

/** Levels of arrays and objects in one value; a frame adds four, which makes 100. */
export const JSON_DEPTH_MAX = 96;

const QUOTE = 0x22;

/** Whether JSON text has more levels of arrays and objects than {@linkcode JSON_DEPTH_MAX}. */
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
