/**
 * The rule for failures that nobody learns of: a rejection that is swallowed, or logged at debug alone, says in a comment
 * on its line or on the two above why nobody needs to know. Pure, line by line: it does not see a `catch` block that
 * does nothing, nor a call of `debug` over several lines.
 */
import type { Violation } from "../checkout/violation.ts";

const NOTHING = String.raw`\(\) => (\{\}|undefined|null|false|0|""|\[\])\)`;
const SWALLOWS = new RegExp(
  String.raw`\.catch\(${NOTHING}|\.then\(\w+, ${NOTHING}|\.debug\(.*\berror\b`,
);
const COMMENT = /(^|\s)\/\/|^\s*\/?\*/;
const LINES_ABOVE = 2;
const WHY = "a failure is swallowed: log it at warn, or say above why nobody needs to know";

/** Every failure of a product's file that is swallowed silently. */
export function checkSilence(path: string, text: string): Violation[] {
  const lines = text.split("\n");
  return lines.flatMap((line, at) => {
    const near = lines.slice(Math.max(0, at - LINES_ABOVE), at + 1);
    if (!SWALLOWS.test(line) || near.some((one) => COMMENT.test(one))) return [];
    return [{ path, line: at + 1, message: WHY }];
  });
}
