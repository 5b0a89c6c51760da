/**
 * The client's side of tokens: their form, their end, and when to refresh them. Pure. Nothing is
 * verified here (only the Shield can), and no error ever contains a token.
 */
import { ArqonError } from "@arqon/proto";
import { TIMER_MS_MAX } from "../time/sleep.ts";

const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;

/**
 * Throws `token-malformed` unless the text can travel as a subprotocol item and as an HTTP header.
 */
export function assertToken(token: unknown): asserts token is string {
  if (typeof token !== "string" || !COMPACT_JWS.test(token)) {
    throw new ArqonError("token-malformed", "expected a JWT");
  }
}

/** When a JWT ends (`exp`), Unix ms; undefined when it cannot be read. */
export function tokenExpiry(token: string): number | undefined {
  try {
    const part = token.split(".")[1] ?? "";
    const claims: unknown = JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/")));
    const exp = (claims as { exp?: unknown } | null)?.exp;
    return typeof exp === "number" && Number.isFinite(exp) ? exp * 1_000 : undefined;
  } catch {
    return undefined;
  }
}

/**
 * How long to wait, in ms, before the token is refreshed when it is good for `remaining_ms` more:
 * 75 to 90 % of it (jittered, so that a crowd with one expiry spreads), at least 1 s, so that a token
 * server with tiny lifetimes is not flooded.
 */
export function refreshDelay(remaining_ms: number, random: () => number): number {
  const share = 0.75 + 0.15 * random();
  return Math.min(TIMER_MS_MAX, Math.max(1_000, Math.floor(remaining_ms * share)));
}
