/**
 * Why a WebSocket never opened. Browsers hide the status of a refused upgrade, so the SDK asks
 * `GET /v1/auth/check`, which answers the same 401, 403 or 503. Always returns an error.
 */
import { ArqonError } from "@arqon/proto";
import { errorFromWire } from "./wire_error.ts";

/** One question to `/v1/auth/check`. The token goes into the header only, never into an error. */
export interface AuthCheck {
  readonly check_url: string;
  readonly token: string;
  /** What the WebSocket itself said, if anything. */
  readonly detail: string;
  readonly timeout_ms: number;
  readonly signal: AbortSignal;
}

/** A problem body is a few hundred bytes; more is not one. */
const BODY_BYTES_MAX = 65_536;

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  // Not every browser can iterate over a stream.
  const reader = response.body?.getReader();
  let text = "";
  for (let bytes = 0; reader !== undefined && bytes <= BODY_BYTES_MAX;) {
    const { value, done } = await reader.read();
    if (done) return text;
    bytes += value.length;
    text += decoder.decode(value, { stream: true });
  }
  await reader?.cancel();
  return text;
}

interface Problem {
  readonly reason: string;
  readonly message: string;
  /** 0 when it says none. */
  readonly retry_after_ms: number;
}

function problemOf(text: string): Problem | undefined {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== "object" || body === null) return undefined;
    const { reason, detail, retry_after_ms } = body as Record<string, unknown>;
    if (typeof reason !== "string") return undefined;
    return {
      reason,
      message: typeof detail === "string" ? detail : "",
      retry_after_ms: boundedWait(retry_after_ms),
    };
  } catch {
    return undefined;
  }
}

/** The innermost cause's text: fetch wraps what really happened. */
function rootMessage(error: unknown): string {
  let current = error;
  while (current instanceof Error && current.cause instanceof Error) current = current.cause;
  const text = current instanceof Error ? current.message : String(current);
  // Deno puts the URL and the layers it went through in front, which say nothing here.
  return text.replace(/^error sending request for url \([^)]*\): (?:client error \(\w+\): )?/, "");
}

/** A wait that can be meant; a longer one than this is taken for a mistake. */
const WAIT_MS_MAX = 600_000;

function boundedWait(wait_ms: unknown): number {
  if (typeof wait_ms !== "number" || !(wait_ms > 0)) return 0;
  return Math.min(Math.ceil(wait_ms), WAIT_MS_MAX);
}

/** `Retry-After` in ms, in both forms of RFC 9110; 0 when there is none, or none that is understood. */
export function retryAfterOf(value: string | null, now_ms: number): number {
  if (value === null) return 0;
  if (/^\d+$/.test(value.trim())) return boundedWait(Number(value) * 1_000);
  return boundedWait(Date.parse(value) - now_ms);
}

/** The reason why no connection came about; `unreachable` when nobody can be asked. */
export async function explainRefusal(check: AuthCheck): Promise<ArqonError> {
  const where = new URL(check.check_url).origin;
  try {
    const response = await fetch(check.check_url, {
      headers: { authorization: `Bearer ${check.token}` },
      redirect: "manual",
      cache: "no-store",
      signal: AbortSignal.any([check.signal, AbortSignal.timeout(check.timeout_ms)]),
    });
    const text = await boundedText(response);
    if (response.ok) {
      const why = check.detail === "" ? "" : ` (${check.detail})`;
      return new ArqonError("unreachable", `${where}: the WebSocket did not open${why}`);
    }
    const problem = problemOf(text);
    if (problem !== undefined) {
      return errorFromWire({
        ...problem,
        code: response.status,
        // The body says it to the millisecond: whole seconds would bring a crowd back together.
        retry_after_ms: problem.retry_after_ms ||
          retryAfterOf(response.headers.get("retry-after"), Date.now()),
      });
    }
    return new ArqonError(
      "unreachable",
      `${where}: it answers HTTP ${response.status}, but not as an ArqonBus does`,
    );
  } catch (error) {
    if (check.signal.aborted) return new ArqonError("connection-closed");
    return new ArqonError("unreachable", `${where}: ${rootMessage(error)}`, { cause: error });
  }
}
