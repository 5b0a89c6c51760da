/**
 * How deep JSON may be nested where the bus shows it to others inside of JSON of its own. Readers of
 * many languages give up at some depth (Ruby's at 100 levels, Rust's `serde_json` at 128, PHP's at
 * 512, Python's at about 1,000), and would lose the whole frame, not the value. Not a JSON parser.
 */
import { afterString } from "./json_span.ts";

/** Levels of arrays and objects in one value; with the four of a frame around it that is 100. */
export const JSON_DEPTH_MAX = 96;

const QUOTE = 0x22;

/** Whether JSON text has more levels of arrays and objects than {@linkcode JSON_DEPTH_MAX}. */
export function nestsTooDeep(text: string): boolean {
  if (text.length <= 2 * JSON_DEPTH_MAX) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) at = afterString(text, at) - 1;
    // [ and { differ from each other in one bit, and so do ] and }.
    else if ((unit | 0x20) === 0x7b && ++depth > JSON_DEPTH_MAX) return true;
    else if ((unit | 0x20) === 0x7d) depth--;
  }
  return false;
}
