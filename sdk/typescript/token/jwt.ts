/** What the client reads of a JWT. Verifies nothing. */
import { ArqonError } from "@arqon/proto";

const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;

/** When a JWT expires (`exp`), Unix ms; undefined if it is unreadable. */
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

/** Throws `token-malformed` unless the text can be a subprotocol and a header. */
export function assertToken(token: unknown): asserts token is string {
  if (typeof token !== "string" || !COMPACT_JWS.test(token)) {
    throw new ArqonError("token-malformed", "expected a JWT");
  }
}
