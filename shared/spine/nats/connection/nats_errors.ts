/**
 * Failures of JetStream, and `retried`, which repeats an operation until its deadline when a dropped connection, an
 * election or a server without its stores interrupts it.
 */
import { ArqonError } from "@arqon/proto";
import { JetStreamApiError } from "@nats-io/jetstream";
import { errors } from "@nats-io/transport-deno";
import { RESTORE_CUT_OFF, STORAGE_REMEDY } from "../../contract/storage_plan.ts";
import { logUnavailable, StorageFull } from "../../contract/write_errors.ts";
import type { Link } from "./nats_link.ts";

/** Pause before a retry after a transient failure, in ms. */
const RETRY_MS = 50;
/** JetStream's words for a stream at its bound, an account at its limit, and a disk without room. */
const FULL = /maximum bytes|resource limits exceeded|insufficient storage|no space left/i;

/** JetStream's error codes that are handled; nats.js names few of them. */
export const CODES = {
  accountFull: 10002,
  noPeers: 10005,
  temporarilyUnavailable: 10008,
  notLeader: 10009,
  messageNotFound: 10037,
  noRoom: 10023,
  noMoreStreams: 10027,
  noMemory: 10028,
  noStorage: 10047,
  tooLarge: 10054,
  nameInUse: 10058,
  streamMissing: 10059,
  otherStream: 10060,
  overlap: 10065,
  wrongLastId: 10070,
  wrongLast: 10071,
  noReplicas: 10074,
  notStored: 10077,
  headersTooLarge: 10097,
  offline: 10118,
  streamTooLarge: 10122,
  idInProcess: 10158,
  wrongLastInProcess: 10164,
  offlineBecause: 10194,
} as const;

/** JetStream refused the request: it had no effect. */
export class Refusal extends Error {
  readonly code: number;

  constructor(error: { readonly err_code?: number; readonly description?: string }) {
    super(error.description ?? "JetStream refused without a reason");
    this.code = error.err_code ?? 0;
  }
}

/** The stream does not answer, or has been replaced. */
export class StreamLost extends Error {}

/** The stored data is only a part of what a restore writes. */
export class NotRestored extends ArqonError {
  constructor() {
    super("spine-unavailable", RESTORE_CUT_OFF);
  }
}

/** JetStream's error code; 0 for any other error. */
const apiCode = (error: unknown): number =>
  error instanceof Refusal || error instanceof JetStreamApiError ? error.code : 0;

/** Whether JetStream refused with one of those codes. */
export const isRefused = (error: unknown, ...names: (keyof typeof CODES)[]): boolean =>
  names.some((name) => CODES[name] === apiCode(error));

/** True if the servers, or the account, cannot reserve the bytes that a stream needs. */
export const lacksStorage = (error: unknown): boolean =>
  isRefused(error, "noStorage", "streamTooLarge") ||
  isRefused(error, "noPeers") && /storage/i.test((error as Error).message);

/** True when the server does not know the stream. */
export const isStreamMissing = (error: unknown): boolean =>
  error instanceof StreamLost || isRefused(error, "streamMissing");

/** Whether the error, or one that caused it, is of that kind. */
export function isCausedBy(error: unknown, kind: new (...args: never[]) => Error): boolean {
  if (error instanceof kind) return true;
  return error instanceof Error && isCausedBy(error.cause, kind);
}

/** True without a responder: the request had no effect. */
export const hasNoResponder = (error: unknown): boolean =>
  isCausedBy(error, errors.NoRespondersError);

/** True if the account does not permit the request. */
export const isForbidden = (error: unknown): boolean =>
  isCausedBy(error, errors.PermissionViolationError);

/** Why retries of a write are in vain; undefined: a retry may succeed. */
function fullness(error: unknown): string | undefined {
  if (isRefused(error, "noMoreStreams")) return "the NATS account may have no more streams";
  if (isRefused(error, "accountFull")) return `the NATS account is full; ${STORAGE_REMEDY}`;
  if (lacksStorage(error)) return `${(error as Error).message}; ${STORAGE_REMEDY}`;
  const { message } = error instanceof Error ? error : { message: "" };
  if (!isRefused(error, "notStored") || !/maximum bytes/.test(message)) return undefined;
  return `it is full (${message}); raise [nats] control_bytes, its share of which is its bound`;
}

/** True if the server reports that it is standalone and without JetStream: a retry is in vain. */
const isWithoutJetStream = ({ connection: { info } }: Link): boolean =>
  info?.jetstream !== true && info?.cluster === undefined;

/** Why a request failed, with the remedy if there is one. */
function reasonOf(link: Link, cause: unknown): string {
  if (cause instanceof errors.TimeoutError) return `no answer in ${link.request_timeout_ms} ms`;
  if (!hasNoResponder(cause)) return cause instanceof Error ? cause.message : String(cause);
  if (!isWithoutJetStream(link)) {
    return "JetStream does not answer; is it enabled, and has it a leader?";
  }
  return `JetStream is not enabled on the NATS server ${link.server}; add jetstream { store_dir: "…" } to its ` +
    "configuration, or start it with --jetstream";
}

/** Converts any failure to an error that says why the log is not available. */
export function logError(link: Link, cause: unknown): Error {
  if (cause instanceof ArqonError || cause instanceof TypeError) return cause;
  const why = reasonOf(link, cause);
  return logUnavailable(why, lacksStorage(cause) || FULL.test(why), cause);
}

/** How an operation is repeated. */
interface Retrying {
  /** The least time to the deadline, in ms; `link.patience_ms` if that is longer. */
  readonly within_ms: number;
  /** Waits for a connection that is lost; otherwise only while the process is starting. */
  readonly waits: boolean;
  /** Whether a retry is in vain after so many ms. */
  readonly isFinal: (error: unknown, passed_ms: number) => boolean;
  /** The error that the caller gets. */
  readonly errorOf: (cause: unknown) => Error;
  /** Called before a retry. */
  readonly mend?: (problem: unknown) => Promise<void>;
}

/** Retries until there is a final answer, or the deadline has passed; each attempt gets its remaining time. */
async function retried<T>(
  link: Link,
  attempt: (timeout_ms: number) => Promise<T>,
  { within_ms, waits, isFinal, errorOf, mend }: Retrying,
): Promise<T> {
  const { request_timeout_ms } = link;
  const began_ms = link.monotonic();
  const deadline_ms = began_ms + Math.max(link.patience_ms, within_ms);
  const left = () => deadline_ms - link.monotonic();
  for (;;) {
    if (!await link.connected(waits || link.isStarting() ? left() : 0)) throw link.unavailable();
    let problem: unknown;
    try {
      return await link.guard(attempt(Math.max(1, Math.min(left(), request_timeout_ms) / 2)));
    } catch (error) {
      problem = error;
    }
    const is_final = isFinal(problem, link.monotonic() - began_ms) ||
      (hasNoResponder(problem) && isWithoutJetStream(link));
    if (is_final || left() <= RETRY_MS) throw errorOf(problem);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    await mend?.(problem);
  }
}

/** True for errors of an election, a restart or a lost packet: a retry may succeed. */
function passes(error: unknown): boolean {
  if (error instanceof Refusal) return isRefused(error, "temporarilyUnavailable", "notLeader");
  return !(error instanceof ArqonError || error instanceof TypeError ||
    error instanceof StreamLost);
}

/**
 * Retries until there is a final answer, or the longer of `within_ms` and `link.patience_ms` has passed. Rejects with
 * `log-unavailable`, `spine-unavailable` while disconnected, or `StreamLost`.
 */
export function insist<T>(
  link: Link,
  attempt: (timeout_ms: number) => Promise<T>,
  within_ms = 0,
): Promise<T> {
  return retried(link, attempt, {
    within_ms,
    waits: false,
    isFinal: (error) => !passes(error),
    errorOf: (cause) => cause instanceof StreamLost ? cause : logError(link, cause),
  });
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
  const { link, what } = subject;
  if (!link.isStarting()) link.assertConnected();
  return await retried(link, attempt, {
    within_ms,
    waits: true,
    isFinal: (error, passed_ms) =>
      error instanceof NotRestored ||
      // Servers of a cluster that is just forming report no room at first; later the report is true.
      (fullness(error) !== undefined &&
        (!lacksStorage(error) || passed_ms >= link.request_timeout_ms - RETRY_MS)),
    errorOf(cause) {
      if (cause instanceof ArqonError) return cause;
      const full = fullness(cause);
      return full === undefined
        ? new ArqonError("spine-unavailable", `${what}: ${reasonOf(link, cause)}`, { cause })
        : new StorageFull(`${what}: ${full}`, { cause });
    },
    async mend(problem) {
      // A server that lost its store, or is still starting: creates the stream again.
      if (!isStreamMissing(problem) && !hasNoResponder(problem)) return;
      // If that fails, so does the next attempt.
      await link.guard(subject.ensure()).catch(() => {});
    },
  });
}
