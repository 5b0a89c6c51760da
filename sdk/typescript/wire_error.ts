/**
 * Turns what a Shield says about a refusal (ACK, ERR, problem body) into an `ArqonError`. It always
 * returns one, whatever the bytes say: a reason that this version does not know becomes the nearest
 * one of the same code, and the text is kept.
 */
import { ArqonError, isReason, REASONS } from "@arqon/proto";
import type { Reason } from "@arqon/proto";
import { MESSAGE_CHARS_MAX } from "./bounds.ts";

function fits(template: string, message: string): boolean {
  // A template has letters, spaces and apostrophes. Without a detail its colon is missing, too.
  const pattern = template.includes("{")
    ? template.replace(/(: )?{detail}/, "($1.*)?")
    : `${template}(: .*)?`;
  return RegExp(`^${pattern}$`, "s").test(message);
}

/**
 * An ERR frame carries a code and a text but no reason; the text was made from the reason's template,
 * so the template that fits tells it. The longest fitting template wins.
 */
export function reasonOfMessage(code: number, message: string): Reason | undefined {
  let best: string | undefined;
  let best_chars = 0;
  for (const [reason, rule] of REASONS) {
    const chars = rule.message.length;
    if (rule.code !== code || chars <= best_chars || !fits(rule.message, message)) continue;
    best = reason;
    best_chars = chars;
  }
  return best as Reason | undefined;
}

/** What stands in for a reason that this version does not know. */
function nearestReason(code: number): Reason {
  const found = [...REASONS].find(([, rule]) => rule.code === code);
  return found ? found[0] as Reason : "internal";
}

/**
 * The error for a refusal as it came over the wire. `reason` may be empty (ERR frames) or unknown.
 * The error's `message` is the Shield's own text, cut to 1,024 characters.
 */
export function errorFromWire(
  wire: { code: number; reason?: string; message: string; retry_after_ms?: number },
): ArqonError {
  const { code, reason = "", message, retry_after_ms = 0 } = wire;
  const known = isReason(reason) ? reason : reasonOfMessage(code, message);
  // A policy may choose a code of its own; what is no refusal's code says nothing.
  const is_code = Number.isInteger(code) && code >= 400 && code <= 599;
  const error = new ArqonError(known ?? nearestReason(code), "", {
    retry_after_ms,
    ...(is_code && { code }),
  });
  if (message !== "") error.message = message.slice(0, MESSAGE_CHARS_MAX);
  if (known === undefined && reason) error.message += ` (${reason.slice(0, 64)})`;
  return error;
}

/** What a thrown value says. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Any thrown value as an error of ours: what is none of ours is `internal`. */
export function asArqonError(error: unknown): ArqonError {
  if (error instanceof ArqonError) return error;
  return new ArqonError("internal", "", { cause: textOf(error) });
}

/** What the server says is nothing that this SDK can read. */
export function malformed(what: string): ArqonError {
  return new ArqonError("malformed-frame", `from the server: ${what}`);
}
