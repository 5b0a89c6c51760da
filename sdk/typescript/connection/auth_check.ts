/** Finds out why a WebSocket did not open, which browsers hide, with `GET /v1/auth/check`. */
import { ArqonError } from "@arqon/proto";
import { BODY_CHARS_MAX, CHECK_TIMEOUT_MS, WAIT_MS_MAX } from "../wire/bounds.ts";
import { errorFromWire, textOf } from "../wire/wire_error.ts";

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
