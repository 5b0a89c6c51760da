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

/** True when the server has said that it runs alone and without JetStream: waiting changes nothing. */
export function isWithoutJetStream({ connection: { info } }: Link): boolean {
  return info?.jetstream !== true && info?.cluster === undefined;
}

/** Why nobody answers a JetStream request, and what to do about it. */
export function jetStreamSilence(link: Link): string {
  if (!isWithoutJetStream(link)) {
    return "JetStream does not answer; is it enabled, and has it a leader?";
  }
  const setting = 'jetstream { store_dir: "…" }';
  return `JetStream is not enabled on the NATS server ${link.server}; ` +
    `add ${setting} to its configuration, or start it with --jetstream`;
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
    const hopeless = isUnheard(problem) && isWithoutJetStream(link);
    if (hopeless || left() <= RETRY_MS) throw failure(subject, problem);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    // A server that lost its store, or is still starting: if this fails, so does the next attempt.
    if (isStreamMissing(problem) || isUnheard(problem)) {
      await link.guard(subject.ensure()).catch(() => {});
    }
  }
}

function failure({ link, what }: Persistent, cause: unknown): ArqonError {
  if (cause instanceof ArqonError) return cause;
  const why = isUnheard(cause)
    ? jetStreamSilence(link)
    : cause instanceof Error
    ? cause.message
    : String(cause);
  return new ArqonError("spine-unavailable", `${what}: ${why}`, { cause });
}
