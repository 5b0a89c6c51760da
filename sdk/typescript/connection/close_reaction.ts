/** Decides what a client does after its connection ended or was refused. Pure. */
import { ArqonError, isReason, type Reason, ruleOf, ruleOfClose } from "@arqon/proto";
import { SPREAD_MS_MAX } from "../wire/bounds.ts";

/** What `Connection` does next. `onStatus` and, on "stop", pending requests get the `error`. */
export type Reaction =
  /** No retry: the connection ends with this error (undefined: the program closed it). */
  | { readonly action: "stop"; readonly error: ArqonError | undefined }
  /** Reconnect after a wait. */
  | {
    readonly action: "reconnect";
    readonly error: ArqonError;
    /** Wait at least this long, in ms. */
    readonly floor_ms: number;
    /** Instead of the backoff, wait a random time up to this, in ms; 0: use the backoff. */
    readonly spread_ms: number;
    /** The present token is invalid: a new one is requested first. */
    readonly new_token: boolean;
  };

/** Close codes of protocol errors, which a retry would only repeat. */
const HOPELESS: readonly number[] = [1002, 1003, 1007, 1010];

/** The N of the close reason `restart;spread_ms=N`; 0 for other reasons. */
function spreadOf(reason: string): number {
  const digits = /(?:^|;)\s*spread_ms=(\d{1,9})(?:;|$)/.exec(reason)?.[1] ?? 0;
  return Math.min(Number(digits), SPREAD_MS_MAX);
}

/** A close in words. */
export function closeText(code: number, reason: string): string {
  const name = ruleOfClose(code)?.name;
  return `closed with ${code}${name ? ` ${name}` : ""}${reason && `: ${reason}`}`;
}

/** The default reason of a close code. */
const CLOSE_REASONS: Readonly<Record<number, Reason>> = {
  1008: "too-many-protocol-errors",
  1009: "frame-too-large",
  4401: "token-expired",
  4403: "banned",
  4413: "frame-too-large",
  4429: "slow-consumer",
};

/**
 * The reaction to the end of an open connection. `last_error`, the ERR directly before the close, is more precise than
 * the code: `refresh-mismatch` must not reconnect, 4401 may.
 */
export function closeReaction(
  code: number,
  reason: string,
  last_error: ArqonError | undefined,
): Reaction {
  // A Shield uses an error's reason as the close reason.
  const named = [last_error, isReason(reason) ? new ArqonError(reason) : undefined]
    .find((one) => one && ruleOf(one.reason).close === code);
  const error = named ??
    new ArqonError(
      CLOSE_REASONS[code] ?? "connection-lost",
      code === 4403 ? "" : closeText(code, reason),
    );
  if (code === 1000) return { action: "stop", error: undefined };
  const rule = ruleOfClose(code);
  const hopeless = rule === undefined ? HOPELESS.includes(code) : rule.client === "never-retry";
  if (hopeless || (named && ruleOf(named.reason).client === "never-retry")) {
    return { action: "stop", error };
  }
  return again(error, rule?.client, code === 1012 ? spreadOf(reason) : 0);
}

/** The reaction to an upgrade that was refused or not answered. */
export function refusalReaction(error: ArqonError): Reaction {
  const { client } = ruleOf(error.reason);
  return client === "never-retry" ? { action: "stop", error } : again(error, client, 0);
}

function again(error: ArqonError, client: string | undefined, spread_ms: number): Reaction {
  return {
    action: "reconnect",
    error,
    floor_ms: error.retry_after_ms,
    spread_ms,
    new_token: client === "refresh-token",
  };
}
