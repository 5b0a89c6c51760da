/**
 * Turns what a Shield says about a refusal (ACK, ERR, problem body) into an `ArqonError`. It always
 * returns one, whatever the bytes say: a reason that this version does not know becomes the nearest
 * one of the same code, and the text is kept.
 */
import { ArqonError, ERRORS } from "@arqon/proto";
import type { Reason } from "@arqon/proto";

const REASONS = Object.keys(ERRORS) as Reason[];

/** What stands in for a reason that this version does not know, by code. */
const NEAREST: Readonly<Record<number, Reason>> = {
  400: "invalid-field",
  401: "token-claim",
  403: "policy-rejected",
  404: "not-found",
  405: "method-not-allowed",
  408: "command-timeout",
  409: "version-conflict",
  413: "message-too-large",
  415: "unsupported-media-type",
  429: "rate-limited",
  503: "spine-unavailable",
};

/** A refusal's text is shown to people and logged: no more than this. */
const MESSAGE_CHARS_MAX = 1_024;

function fits(reason: Reason, message: string): boolean {
  const [before = "", after] = ERRORS[reason].message.split("{detail}");
  if (after === undefined) return message === before || message.startsWith(`${before}: `);
  return message.length >= before.length + after.length && message.startsWith(before) &&
    message.endsWith(after);
}

/**
 * An ERR frame carries a code and a text but no reason; the text was made from the reason's template,
 * so the template that fits tells it. The longest fitting template wins.
 */
export function reasonOfMessage(code: number, message: string): Reason | undefined {
  let best: Reason | undefined;
  for (const reason of REASONS) {
    if (ERRORS[reason].code !== code || !fits(reason, message)) continue;
    if (best === undefined || ERRORS[reason].message.length > ERRORS[best].message.length) {
      best = reason;
    }
  }
  return best;
}

/**
 * The error for a refusal as it came over the wire. `reason` may be empty (ERR frames) or unknown.
 * The error's `message` is the Shield's own text, cut to 1,024 characters.
 */
export function errorFromWire(
  wire: { code: number; reason?: string; message: string; retry_after_ms?: number },
): ArqonError {
  const known = wire.reason !== undefined && Object.hasOwn(ERRORS, wire.reason)
    ? wire.reason as Reason
    : reasonOfMessage(wire.code, wire.message);
  const reason = known ?? NEAREST[wire.code] ?? "internal";
  const { retry_after_ms = 0, code } = wire;
  // A policy may choose a code of its own; what is no refusal's code says nothing.
  const is_code = Number.isInteger(code) && code >= 400 && code <= 599;
  const error = new ArqonError(reason, "", { retry_after_ms, ...(is_code ? { code } : {}) });
  if (wire.message !== "") error.message = wire.message.slice(0, MESSAGE_CHARS_MAX);
  if (known === undefined && wire.reason) error.message += ` (${wire.reason.slice(0, 64)})`;
  return error;
}

/** Any thrown value as an error of ours: what is none of ours is `internal`. */
export function asArqonError(error: unknown): ArqonError {
  if (error instanceof ArqonError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new ArqonError("internal", "", { cause: text });
}
