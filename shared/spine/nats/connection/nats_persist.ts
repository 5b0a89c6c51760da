/**
 * Retries JetStream operations until their deadline when a dropped connection, or a server without its stores,
 * interrupts them. Independent of buckets and objects.
 */
import { ArqonError } from "@arqon/proto";
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { errors } from "@nats-io/transport-deno";
import type { Link } from "./nats_link.ts";
import { StorageFull } from "../../contract/write_errors.ts";
import { STORAGE_REMEDY } from "../../contract/storage_plan.ts";

/** Pause before a retry after a transient failure, in ms. */
const RETRY_MS = 50;

/** JetStream's error code; 0 for any other error. */
export function apiCode(error: unknown): number {
  return error instanceof JetStreamApiError ? error.code : 0;
}

// JetStream's error codes that nats.js does not name.
const NO_PEERS = 10005;
const NO_STORAGE = 10047;
const ACCOUNT_FULL = 10002;
const NOT_STORED = 10077;
const NAME_IN_USE = 10058;
const NO_MORE_STREAMS = 10027;
const STREAM_TOO_LARGE = 10122;

/** True if the servers, or the account, cannot reserve the bytes that a stream needs. */
export function lacksStorage(error: unknown): boolean {
  if (!(error instanceof Error) || !("code" in error)) return false;
  return error.code === NO_STORAGE || error.code === STREAM_TOO_LARGE ||
    (error.code === NO_PEERS && /storage/i.test(error.message));
}

/** True if another process has just created the stream, with its own bound. */
export const isMade = (error: unknown): boolean => apiCode(error) === NAME_IN_USE;

/** Why retries of a write are in vain; undefined: a retry may succeed. */
function fullness(error: unknown): string | undefined {
  const code = apiCode(error);
  if (code === NO_MORE_STREAMS) return "the NATS account may have no more streams";
  if (code === ACCOUNT_FULL) return `the NATS account is full; ${STORAGE_REMEDY}`;
  if (code !== NOT_STORED || !(error instanceof Error) || !/maximum bytes/.test(error.message)) {
    return undefined;
  }
  return `it is full (${error.message}); raise [nats] control_bytes, its share of which is its bound`;
}

/** True without a responder: the request had no effect. */
export function hasNoResponder(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof errors.NoRespondersError) return true;
  }
  return false;
}

/** True if the account does not permit the request. */
export function isForbidden(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof errors.PermissionViolationError) return true;
  }
  return false;
}

/** True when the server does not know the stream. */
export function isStreamMissing(error: unknown): boolean {
  return apiCode(error) === JetStreamApiCodes.StreamNotFound;
}

/** True if the server reports that it is standalone and without JetStream: a retry is in vain. */
export function isWithoutJetStream({ connection: { info } }: Link): boolean {
  return info?.jetstream !== true && info?.cluster === undefined;
}

/** Why a JetStream request has no responder, and the remedy. */
export function jetStreamSilence(link: Link): string {
  if (!isWithoutJetStream(link)) {
    return "JetStream does not answer; is it enabled, and has it a leader?";
  }
  const setting = 'jetstream { store_dir: "…" }';
  return `JetStream is not enabled on the NATS server ${link.server}; ` +
    `add ${setting} to its configuration, or start it with --jetstream`;
}

/** An operation with retries, and its name in errors. */
export interface Persistent {
  readonly link: Link;
  /** The name in errors, for example "bucket ROOMS". */
  readonly what: string;
  /** Creates the stream if missing. */
  ensure(): Promise<void>;
}

/**
 * Retries `attempt` until it succeeds; every error counts as transient. Rejects with `spine-unavailable`: at once if
 * the connection is down when it begins, unless the process is starting; or after the longer of `within_ms` and
 * `link.patience_ms`.
 */
export async function persist<T>(
  subject: Persistent,
  attempt: (timeout_ms: number) => Promise<T>,
  within_ms = 0,
): Promise<T> {
  const { link } = subject;
  if (!link.isStarting()) link.assertConnected();
  const { request_timeout_ms } = link;
  const began_ms = link.monotonic();
  const deadline_ms = began_ms + Math.max(link.patience_ms, within_ms);
  const left = () => deadline_ms - link.monotonic();
  for (;;) {
    if (!await link.connected(left())) throw link.unavailable();
    let problem: unknown;
    try {
      return await link.guard(attempt(Math.max(1, Math.min(left(), request_timeout_ms) / 2)));
    } catch (error) {
      problem = error;
    }
    // Servers of a cluster that is just forming report no room at first; later the report is true.
    const has_no_room = lacksStorage(problem) &&
      link.monotonic() - began_ms >= request_timeout_ms - RETRY_MS;
    const hopeless = (hasNoResponder(problem) && isWithoutJetStream(link)) ||
      fullness(problem) !== undefined || has_no_room;
    if (hopeless || left() <= RETRY_MS) throw failure(subject, problem);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    // A server that lost its store, or is still starting: creates the stream again.
    if (isStreamMissing(problem) || hasNoResponder(problem)) {
      // If that fails, so does the next attempt.
      await link.guard(subject.ensure()).catch(() => {});
    }
  }
}

function failure({ link, what }: Persistent, cause: unknown): ArqonError {
  if (cause instanceof ArqonError) return cause;
  const full = fullness(cause);
  if (full !== undefined) return new StorageFull(`${what}: ${full}`, { cause });
  const why = hasNoResponder(cause)
    ? jetStreamSilence(link)
    : cause instanceof Error
    ? cause.message
    : String(cause);
  return lacksStorage(cause)
    ? new StorageFull(`${what}: ${why}; ${STORAGE_REMEDY}`, { cause })
    : new ArqonError("spine-unavailable", `${what}: ${why}`, { cause });
}
