/**
 * What a client does after its connection ended or was refused: a pure decision from the close code
 * (the generated table `CLOSES`), the reason of the last error, and what the Shield said over HTTP.
 * It does not wait and does not connect.
 */
import { ArqonError, CLOSES, ERRORS } from "@arqon/proto";
import type { CloseCode, Reason } from "@arqon/proto";

/**
 * What `Connection` does next. `error` is what `onStatus` and, at the end, every waiting request hear.
 */
export type Reaction =
  /** Never again by itself: the connection ends with this error (none: it was closed on purpose). */
  | { readonly action: "stop"; readonly error: ArqonError | undefined }
  /** Try again after the wait. */
  | {
    readonly action: "reconnect";
    readonly error: ArqonError;
    /** Wait at least this long, in ms. */
    readonly floor_ms: number;
    /** Instead of the backoff, wait a random time up to this, in ms; 0: use the backoff. */
    readonly spread_ms: number;
    /** The present token is of no use: ask for a new one first. */
    readonly new_token: boolean;
  };

/** Protocol disagreements that another attempt would only repeat. */
const HOPELESS = new Set([1002, 1003, 1007, 1010]);
/** A Shield may spread its clients over at most this; more is taken for a mistake. */
const SPREAD_MS_MAX = 600_000;

/** N of the close reason `restart;spread_ms=N`; 0 when it says nothing of the kind. */
export function spreadOf(reason: string): number {
  const digits = /(?:^|;)\s*spread_ms=(\d{1,9})(?:;|$)/.exec(reason)?.[1];
  return digits === undefined ? 0 : Math.min(Number(digits), SPREAD_MS_MAX);
}

function describe(code: number, reason: string): string {
  const name = Object.hasOwn(CLOSES, code) ? CLOSES[code as CloseCode].name : "";
  return `closed with ${code}${name === "" ? "" : ` ${name}`}${reason === "" ? "" : `: ${reason}`}`;
}

/** A Shield gives the error's reason as the reason of the close. */
function namedError(code: number, reason: string): ArqonError | undefined {
  if (!Object.hasOwn(ERRORS, reason)) return undefined;
  return ERRORS[reason as Reason].close === code ? new ArqonError(reason as Reason) : undefined;
}

/** The error that stands for a close code when nothing else says more. */
function closeError(code: number, reason: string): ArqonError {
  switch (code) {
    case 1008:
      return new ArqonError("too-many-protocol-errors");
    case 1009:
    case 4413:
      return new ArqonError("frame-too-large", describe(code, reason));
    case 4401:
      return new ArqonError("token-expired");
    case 4403:
      return new ArqonError("banned");
    case 4429:
      return new ArqonError("slow-consumer");
    default:
      return new ArqonError("connection-lost", describe(code, reason));
  }
}

/**
 * After an open connection ended with `code` and `reason`. `last_error` is the ERR frame right before
 * the close, if any: it says more than the code (`refresh-mismatch` must not reconnect, 4401 may).
 */
export function closeReaction(
  code: number,
  reason: string,
  last_error: ArqonError | undefined,
): Reaction {
  const told = last_error !== undefined && ERRORS[last_error.reason].close === code
    ? last_error
    : namedError(code, reason);
  const error = told ?? closeError(code, reason);
  if (code === 1000) return { action: "stop", error: undefined };
  if (told !== undefined && ERRORS[told.reason].client === "never-retry") {
    return { action: "stop", error };
  }
  if (!Object.hasOwn(CLOSES, code)) {
    return HOPELESS.has(code) ? { action: "stop", error } : again(error, {});
  }
  const rule = CLOSES[code as CloseCode];
  if (!rule.reconnect) return { action: "stop", error };
  return again(error, {
    spread_ms: code === 1012 ? spreadOf(reason) : 0,
    new_token: rule.client === "refresh-token",
  });
}

/** After the upgrade was refused or nobody answered. */
export function refusalReaction(error: ArqonError): Reaction {
  const client = ERRORS[error.reason].client;
  if (client === "never-retry") return { action: "stop", error };
  return again(error, { new_token: client === "refresh-token" });
}

function again(
  error: ArqonError,
  rest: { spread_ms?: number; new_token?: boolean },
): Reaction {
  return {
    action: "reconnect",
    error,
    floor_ms: error.retry_after_ms,
    spread_ms: rest.spread_ms ?? 0,
    new_token: rest.new_token ?? false,
  };
}
