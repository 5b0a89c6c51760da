/** Converts any refusal to an `ArqonError`, whose text is for people only. */
import { ArqonError, isReason, type Reason, REASONS, ruleOf } from "@arqon/proto";
import { MESSAGE_CHARS_MAX } from "./bounds.ts";

/** Replaces a missing or unknown reason by the first one of its code. */
function nearestReason(code: number): Reason {
  for (const [reason, rule] of REASONS) if (rule.code === code) return reason as Reason;
  return "internal";
}

/**
 * The error for a refusal over connection `connection_id`; `reason` may be empty or unknown. Its `message` is the
 * Shield's text, truncated to 1,024 characters.
 */
export function errorFromWire(
  wire: {
    code: number;
    reason?: string;
    message: string;
    retry_after_ms?: number;
    room_id?: string;
    action?: string;
  },
  connection_id = "",
): ArqonError {
  const { code, reason = "", message, retry_after_ms = 0, room_id = "", action = "" } = wire;
  const is_known = isReason(reason);
  // A policy may choose its own code; a code that is not of a refusal is ignored.
  const is_code = Number.isInteger(code) && code >= 400 && code <= 599;
  const error = new ArqonError(is_known ? reason : nearestReason(code), "", {
    retry_after_ms,
    room: room_id,
    action,
    connection_id,
    ...(is_code && { code }),
  });
  if (message !== "") error.message = message.slice(0, MESSAGE_CHARS_MAX);
  if (!is_known && reason) error.message += ` (${reason.slice(0, 64)})`;
  return error;
}

/** Whether a retry of the request may succeed. A policy's own code does not say it. */
export function isPassing(error: unknown): error is ArqonError {
  if (!(error instanceof ArqonError) || ruleOf(error.reason).client === "never-retry") return false;
  return error.code === 408 || error.code === 429 || error.code >= 500;
}

/** The text of any thrown value. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Any thrown value as an ArqonError: other values get this reason, and their text. */
export function asArqonError(error: unknown, reason: Reason = "internal"): ArqonError {
  if (error instanceof ArqonError) return error;
  const wrapped = new ArqonError(reason, "", { cause: textOf(error) });
  wrapped.message += `: ${textOf(error)}`;
  return wrapped;
}

/** The error that ended a session: an unexpected one is a lost connection, so the client reconnects. */
export const asLost = (error: unknown): ArqonError => asArqonError(error, "connection-lost");

/** The ids of an error for `arq why`. */
export interface ErrorPlace {
  readonly trace_id?: string | undefined;
  readonly connection_id?: string | undefined;
}

/** A copy of an error for one of several requests, with these ids unless it has its own. */
export function placedError(
  error: ArqonError,
  { trace_id = "", connection_id = "" }: ErrorPlace,
): ArqonError {
  const { reason, cause } = error;
  const placed = new ArqonError(reason, "", {
    ...error,
    ...(cause !== undefined && { cause }),
    trace_id: error.trace_id || trace_id,
    connection_id: error.connection_id || connection_id,
  });
  placed.message = error.message;
  return placed;
}

/** The error for an answer of the server that this SDK cannot read. */
export function malformed(what: string): ArqonError {
  return new ArqonError("malformed-frame", `from the server: ${what}`);
}
