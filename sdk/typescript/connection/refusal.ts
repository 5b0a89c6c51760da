/**
 * Decides what a client does after its connection ended or was refused. Why a WebSocket did not open, which browsers
 * hide, it finds out with `GET /v1/auth/check`.
 */
import { ArqonError, isReason, type Reason, ruleOf, ruleOfClose } from "@arqon/proto";
import { BODY_CHARS_MAX, CHECK_TIMEOUT_MS, SPREAD_MS_MAX, WAIT_MS_MAX } from "../wire/bounds.ts";
import { errorFromWire, textOf } from "../wire/wire_error.ts";

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

/** What the request to `/v1/auth/check` needs. The token is in its header only, never in an error. */
export interface RefusalCheck {
  readonly address: { readonly check_url: string };
  readonly token: string;
  readonly handshake_timeout_ms: number;
  readonly signal: AbortSignal;
}

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  // Not every browser supports iterating a stream.
  const reader = response.body?.getReader();
  let text = "";
  while (reader && text.length <= BODY_CHARS_MAX) {
    const { value, done } = await reader.read();
    if (done) return text;
    text += decoder.decode(value, { stream: true });
  }
  await reader?.cancel();
  return text;
}

/** The error of a problem body; undefined for any other text. */
function refusalOf(text: string, { status, headers }: Response): ArqonError | undefined {
  try {
    const { reason, detail, retry_after_ms } = JSON.parse(text);
    if (typeof reason !== "string") return undefined;
    return errorFromWire({
      reason,
      message: typeof detail === "string" ? detail : "",
      code: status,
      retry_after_ms: waitOf(retry_after_ms, headers),
    });
  } catch {
    return undefined;
  }
}

/** The text of the innermost cause: fetch wraps the real error. */
function rootMessage(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return cause === undefined ? textOf(error) : rootMessage(cause);
}

/** The wait that an answer requests, in ms, by `retry_after_ms` of its problem body or by its headers; 0: none. */
export function waitOf(retry_after_ms: unknown, headers: Headers): number {
  // A date in the header is by the server's clock, so it is compared with the response's `Date`, if the browser exposes
  // it.
  const now_ms = Date.parse(`${headers.get("date")}`) || Date.now();
  // The body has milliseconds: whole seconds would synchronise reconnects.
  return boundedWait(retry_after_ms) || retryAfterOf(headers.get("retry-after"), now_ms);
}

/** A requested wait in ms; 0 if it is invalid. */
function boundedWait(wait_ms: unknown): number {
  if (typeof wait_ms !== "number" || !(wait_ms > 0)) return 0;
  return Math.min(Math.ceil(wait_ms), WAIT_MS_MAX);
}

/** The wait of a `Retry-After` header, in ms, in both forms of RFC 9110; 0 for any other value. */
export function retryAfterOf(value: string | null, now_ms: number): number {
  const wait_ms = Number(value) * 1_000;
  return boundedWait(wait_ms >= 0 ? wait_ms : Date.parse(`${value}`) - now_ms);
}

/** Resolves with the reason why there is no connection; without an answer `unreachable`, with the socket's `detail`. */
export async function explainRefusal(check: RefusalCheck, detail: string): Promise<ArqonError> {
  const { address: { check_url }, token, handshake_timeout_ms, signal } = check;
  const timeout_ms = Math.max(handshake_timeout_ms, CHECK_TIMEOUT_MS);
  const unreachable = (why: string, cause?: unknown) =>
    new ArqonError("unreachable", `${new URL(check_url).origin}: ${why}`, { cause });
  try {
    const response = await fetch(check_url, {
      headers: { authorization: `Bearer ${token}` },
      redirect: "manual",
      cache: "no-store",
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeout_ms)]),
    });
    const text = await boundedText(response);
    if (response.ok) return unreachable(`the WebSocket did not open${detail && ` (${detail})`}`);
    return refusalOf(text, response) ?? unreachable(`HTTP ${response.status}`);
  } catch (error) {
    if (signal.aborted) return new ArqonError("connection-closed");
    return unreachable(rootMessage(error), error);
  }
}
