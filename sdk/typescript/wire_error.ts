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
 * The reason of a code and a text, which was made from the reason's template: that of the longest one
 * that fits. Of a text that fits none, as a newer Shield's may be, the first of the code; `internal`
 * when no reason has that code.
 */
export function reasonOfMessage(code: number, message: string): Reason {
  let best = "internal";
  let best_chars = -1;
  for (const [reason, rule] of REASONS) {
    const chars = fits(rule.message, message) ? rule.message.length : 0;
    if (rule.code !== code || chars <= best_chars) continue;
    best = reason;
    best_chars = chars;
  }
  return best as Reason;
}

/**
 * The error for a refusal as it came over the wire. `reason` may be empty (ERR frames) or unknown.
 * The error's `message` is the Shield's own text, cut to 1,024 characters.
 */
export function errorFromWire(
  wire: { code: number; reason?: string; message: string; retry_after_ms?: number },
): ArqonError {
  const { code, reason = "", message, retry_after_ms = 0 } = wire;
  const is_known = isReason(reason);
  // A policy may choose a code of its own; what is no refusal's code says nothing.
  const is_code = Number.isInteger(code) && code >= 400 && code <= 599;
  const error = new ArqonError(is_known ? reason : reasonOfMessage(code, message), "", {
    retry_after_ms,
    ...(is_code && { code }),
  });
  if (message !== "") error.message = message.slice(0, MESSAGE_CHARS_MAX);
  if (!is_known && reason) error.message += ` (${reason.slice(0, 64)})`;
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
