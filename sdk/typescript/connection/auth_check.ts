/** Finds out why a WebSocket did not open, which browsers hide, with `GET /v1/auth/check`. */
import { ArqonError } from "@arqon/proto";
import { BODY_BYTES_MAX, WAIT_MS_MAX } from "../wire/bounds.ts";
import { errorFromWire, textOf } from "../wire/wire_error.ts";

/** One request to `/v1/auth/check`. The token is in the header only, never in an error. */
export interface AuthCheck {
  readonly check_url: string;
  readonly token: string;
  /** The WebSocket's own text about the failure, if any. */
  readonly detail: string;
  readonly timeout_ms: number;
  readonly signal: AbortSignal;
}

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  // Not every browser supports iterating a stream.
  const reader = response.body?.getReader();
  let text = "";
  for (let bytes = 0; reader && bytes <= BODY_BYTES_MAX;) {
    const { value, done } = await reader.read();
    if (done) return text;
    bytes += value.length;
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
      // The body has milliseconds: whole seconds would synchronise reconnects. A date in the header is by the server's
      // clock, so it is compared with the response's `Date`, if the browser exposes it.
      retry_after_ms: boundedWait(retry_after_ms) ||
        retryAfterOf(
          headers.get("retry-after"),
          Date.parse(`${headers.get("date")}`) || Date.now(),
        ),
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

/** A requested wait in ms; 0 if it is invalid. */
export function boundedWait(wait_ms: unknown): number {
  if (typeof wait_ms !== "number" || !(wait_ms > 0)) return 0;
  return Math.min(Math.ceil(wait_ms), WAIT_MS_MAX);
}

/** The wait of a `Retry-After` header, in ms, in both forms of RFC 9110; 0 for any other value. */
export function retryAfterOf(value: string | null, now_ms: number): number {
  const wait_ms = Number(value) * 1_000;
  return boundedWait(wait_ms >= 0 ? wait_ms : Date.parse(`${value}`) - now_ms);
}

/** Resolves with the reason why there is no connection; `unreachable` without an answer. */
export async function explainRefusal(check: AuthCheck): Promise<ArqonError> {
  const { check_url, token, detail, timeout_ms, signal } = check;
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
    return refusalOf(text, response) ??
      unreachable(`HTTP ${response.status}`);
  } catch (error) {
    if (signal.aborted) return new ArqonError("connection-closed");
    return unreachable(rootMessage(error), error);
  }
}
