/**
 * RFC 9457 problem bodies for refusals over HTTP, with the headers of RFC 6750 (401) and RFC 9110 (409, 429, 503).
 * WebSocket refusals are ACK and ERR frames instead.
 */
import type { ArqonError } from "@arqon/proto";
import type { z } from "zod";

/** The content of a refusal: an `ArqonError`, or an ACK. */
export type Refusal =
  & Pick<ArqonError, "code" | "message" | "retry_after_ms">
  & { readonly reason: string };

const INVALID_IN_QUOTED = /[^\x20-\x21\x23-\x5b\x5d-\x7e]/g;

/** The JSON body of a refusal. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly reason: string;
  readonly code: number;
  /** Only with a wait. */
  readonly retry_after_ms?: number;
}

/** The problem body of a refusal; `title` depends on the reason only, `detail` on the occurrence. */
export function problemOf(error: Refusal): Problem {
  const title = error.reason.replaceAll("-", " ");
  return {
    type: `urn:arqon:error:${error.reason}`,
    title: title.charAt(0).toUpperCase() + title.slice(1),
    status: error.code,
    detail: error.message,
    reason: error.reason,
    code: error.code,
    ...(error.retry_after_ms > 0 ? { retry_after_ms: error.retry_after_ms } : {}),
  };
}

function challenge(error: Refusal): string {
  // RFC 6750, 3.1: without any token the challenge carries no error code.
  if (error.reason === "token-missing") return 'Bearer realm="arqon"';
  const description = error.message.replaceAll('"', "'").replace(INVALID_IN_QUOTED, "?");
  return `Bearer realm="arqon", error="invalid_token", error_description="${description}"`;
}

/**
 * The HTTP answer to a refusal. 401 has `WWW-Authenticate`, and 409, 429 and 503 have `Retry-After` (whole seconds,
 * rounded up) if the error has a wait. `extra_headers` are added last.
 */
export function problemResponse(error: Refusal, extra_headers?: HeadersInit): Response {
  const headers = new Headers({
    "content-type": "application/problem+json",
    "cache-control": "no-store",
  });
  if (error.code === 401) headers.set("www-authenticate", challenge(error));
  if (error.retry_after_ms > 0 && [409, 429, 503].includes(error.code)) {
    headers.set("retry-after", String(Math.ceil(error.retry_after_ms / 1_000)));
  }
  new Headers(extra_headers).forEach((value, name) => headers.set(name, value));
  return new Response(JSON.stringify(problemOf(error)), { status: error.code, headers });
}

/** The problem of a value as one sentence: "policies[0].room: expected …". */
export function problemText(error: z.ZodError): string {
  return error.issues.slice(0, 8).map(({ path, message }) => {
    const where = path.map((step) => typeof step === "number" ? `[${step}]` : `.${String(step)}`);
    return `${where.join("").replace(/^\./, "") || "it"}: ${message}`;
  }).join("; ");
}
