/**
 * What JetStream operations share: what dropped connections and servers without their stores cut
 * short is tried again until the deadline. Knows no buckets and no objects.
 */
import { ArqonError } from "@arqon/proto";
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { errors } from "@nats-io/transport-deno";
import type { Link } from "./nats_link.ts";

/** Pause before what failed in passing is tried again. */
const RETRY_MS = 50;

/** JetStream's own error code; 0 when the error is none of JetStream's. */
export function apiCode(error: unknown): number {
  return error instanceof JetStreamApiError ? error.code : 0;
}

/** True when nobody listened: the request did not happen. */
export function isUnheard(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof errors.NoRespondersError) return true;
  }
  return false;
}

/** True when the server does not know the stream. */
export function isStreamMissing(error: unknown): boolean {
  return apiCode(error) === JetStreamApiCodes.StreamNotFound;
}

/** What is tried again, and how it is called in errors. */
export interface Persistent {
  readonly link: Link;
  /** For errors: "bucket ROOMS". */
  readonly what: string;
  /** Makes the stream unless it is there. */
  ensure(): Promise<void>;
}

/**
 * Runs `attempt` until it answers; whatever it throws is taken to pass. Rejects with
 * `spine-unavailable` at once when the connection is down at the start, and when
 * `request_timeout_ms` have passed.
 */
export async function persist<T>(
  subject: Persistent,
  attempt: (timeout_ms: number) => Promise<T>,
): Promise<T> {
  const { link } = subject;
  link.assertConnected();
  const deadline_ms = link.now() + link.request_timeout_ms;
  const left = () => deadline_ms - link.now();
  for (;;) {
    if (!await link.connected(left())) throw link.unavailable();
    let problem: unknown;
    try {
      return await link.guard(attempt(Math.max(1, left() / 2)));
    } catch (error) {
      problem = error;
    }
    if (left() <= RETRY_MS) throw failure(subject.what, problem);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    // A server that lost its store, or is still starting: if this fails, so does the next attempt.
    if (isStreamMissing(problem) || isUnheard(problem)) {
      await link.guard(subject.ensure()).catch(() => {});
    }
  }
}

function failure(what: string, cause: unknown): ArqonError {
  if (cause instanceof ArqonError) return cause;
  const why = isUnheard(cause)
    ? "JetStream does not answer; is it enabled?"
    : cause instanceof Error
    ? cause.message
    : String(cause);
  return new ArqonError("spine-unavailable", `${what}: ${why}`, { cause });
}
