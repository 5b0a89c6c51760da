/**
 * The part of JetStream's JSON API that the logs need, and which of its failures are transient. One request, one
 * answer; direct reads are in `nats_log_read.ts`.
 */
import { ArqonError } from "@arqon/proto";
import { errors, headers, type NatsConnection } from "@nats-io/transport-deno";
import type { Answer, PubAck } from "../connection/nats_frames.ts";
import {
  hasNoResponder,
  isWithoutJetStream,
  jetStreamSilence,
  lacksStorage,
} from "../connection/nats_link.ts";
import type { Link } from "../connection/nats_link.ts";
import { logUnavailable } from "../../contract/write_errors.ts";
import { LOG_OFFSET_HEADER, LOG_TIME_HEADER } from "../../contract/durable_log.ts";
import type { Kept, LogMessage } from "../../contract/durable_log.ts";

/** Pause before a retry after a transient failure. */
const RETRY_MS = 50;
/** JetStream's words for a stream at its bound, an account at its limit, and a disk without room. */
const FULL = /maximum bytes|resource limits exceeded|insufficient storage|no space left/i;

/** JetStream's error codes that the logs handle; nats.js names few of them. */
export const CODES = {
  noPeers: 10005,
  temporarilyUnavailable: 10008,
  notLeader: 10009,
  messageNotFound: 10037,
  noMoreStreams: 10027,
  tooLarge: 10054,
  nameInUse: 10058,
  streamMissing: 10059,
  otherStream: 10060,
  overlap: 10065,
  wrongLast: 10071,
  noReplicas: 10074,
  headersTooLarge: 10097,
  offline: 10118,
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

/** The part of a stream's configuration that is read here; the rest is passed on as it came. */
export interface StreamConfig {
  readonly name: string;
  readonly subjects?: readonly string[];
  readonly max_msgs_per_subject: number;
  /** Nanoseconds; 0: no limit. */
  readonly max_age: number;
  readonly max_bytes: number;
  readonly num_replicas: number;
  readonly allow_direct?: boolean;
  /** Nanoseconds. */
  readonly duplicate_window?: number;
  /** Whether it accepts atomic batches. */
  readonly allow_atomic?: boolean;
  readonly discard?: string;
  /** Single messages cannot be removed: an older ArqonBus set this, and NATS cannot unset it. */
  readonly deny_delete?: boolean;
  readonly republish?: { readonly src?: string; readonly dest?: string };
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The names of settings that differ from `wanted`; JetStream omits what is false, empty or 0. */
export function differing(config: object, wanted: object): string[] {
  const found = new Map(Object.entries(config));
  const textOf = (value: unknown) => JSON.stringify(value || null);
  return Object.entries(wanted)
    .filter(([name, value]) => textOf(value) !== textOf(found.get(name)))
    .map(([name]) => name);
}

/** Reports settings of a stream that somebody has changed although the bus relies on them. */
export function warnOfAltered({ log }: Pick<Link, "log">, stream: string, altered: string[]): void {
  if (altered.length === 0) return;
  log.warn("a stream had other settings than the bus relies on: they are set again", {
    stream,
    settings: altered.join(", "),
    remedy: "leave them to the bus: messages would be lost, stored twice or never acknowledged",
  });
}

/** The present state of a stream. */
export interface StreamInfo {
  readonly config: StreamConfig;
  readonly state: {
    readonly messages: number;
    readonly bytes: number;
    readonly first_seq: number;
    readonly first_ts: string;
    readonly last_seq: number;
    /** When the newest message was stored; absent: none. */
    readonly last_ts?: string;
    /** Holes between the first and the last message. */
    readonly num_deleted?: number;
    /** Message counts by requested subject. */
    readonly subjects?: Readonly<Record<string, number>>;
  };
  readonly created: string;
  /** The server's clock. */
  readonly ts: string;
}

/** A message from the leader; bytes are base64. */
interface StoredMessage {
  readonly seq: number;
  readonly time: string;
  readonly hdrs?: string;
  readonly data?: string;
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

function requestOptions(timeout_ms: number, named: Readonly<Record<string, string>>) {
  const sent = headers();
  for (const [name, value] of Object.entries(named)) sent.set(name, value);
  const timeout = Math.max(1, Math.ceil(timeout_ms));
  return Object.keys(named).length === 0 ? { timeout } : { timeout, headers: sent };
}

/** Sends one request to JetStream. Rejects with `Refusal`, `StreamLost`, or nats.js' error without an answer. */
export async function callApi<T>(
  connection: Pick<NatsConnection, "request">,
  verb: string,
  question: unknown,
  timeout_ms: number,
  named: Readonly<Record<string, string>> = {},
): Promise<T> {
  const payload = encoder.encode(JSON.stringify(question));
  const answer = await connection.request(
    `$JS.API.${verb}`,
    payload,
    requestOptions(timeout_ms, named),
  );
  const parsed = JSON.parse(decoder.decode(answer.data));
  if (parsed.error === undefined) return parsed;
  const refusal = new Refusal(parsed.error);
  if (refusal.code === CODES.streamMissing) throw new StreamLost("the stream is gone");
  throw refusal;
}

/** The API on one connection. Errors: `Refusal`, and nats.js' error without an answer. */
export class LogApi {
  readonly link: Link;

  constructor(link: Link) {
    this.link = link;
  }

  async names(subject: string, timeout_ms: number): Promise<readonly string[]> {
    const answer = await this.#call<{ streams?: string[] | null }>(
      "STREAM.NAMES",
      { subject },
      timeout_ms,
    );
    return answer.streams ?? [];
  }

  /** The stream's info; with `subject` also its message count. */
  info(stream: string, timeout_ms: number, subject?: string): Promise<StreamInfo> {
    const question = subject === undefined ? {} : { subjects_filter: subject };
    return this.#call(`STREAM.INFO.${stream}`, question, timeout_ms);
  }

  /** Matching subjects that have messages: a bounded number from that position on, in order. */
  async subjects(
    stream: string,
    filter: string,
    offset: number,
    timeout_ms: number,
  ): Promise<{ readonly subjects: readonly string[]; readonly total: number }> {
    const question = { subjects_filter: filter, offset };
    const { state, total } = await this.#call<StreamInfo & { readonly total?: number }>(
      `STREAM.INFO.${stream}`,
      question,
      timeout_ms,
    );
    const subjects = Object.keys(state.subjects ?? {});
    return { subjects, total: total ?? offset + subjects.length };
  }

  create(config: StreamConfig, timeout_ms: number): Promise<StreamInfo> {
    return this.#call(`STREAM.CREATE.${config.name}`, config, timeout_ms);
  }

  update(config: StreamConfig, timeout_ms: number): Promise<StreamInfo> {
    return this.#call(`STREAM.UPDATE.${config.name}`, config, timeout_ms);
  }

  /** Removes the messages of a subject that `keep` does not cover. */
  async purge(stream: string, filter: string, keep: Kept, timeout_ms: number): Promise<void> {
    if (typeof keep === "object") {
      return await this.purgeBelow(stream, filter, keep.through + 1, timeout_ms);
    }
    const question = keep === 0 ? { filter } : { filter, keep };
    await this.#call(`STREAM.PURGE.${stream}`, question, timeout_ms);
  }

  /** Removes the messages of a subject with a sequence below `seq`. */
  async purgeBelow(stream: string, filter: string, seq: number, timeout_ms: number): Promise<void> {
    await this.#call(`STREAM.PURGE.${stream}`, { filter, seq }, timeout_ms);
  }

  /** Stores a message; resolves with its sequence. Rejects also when the answer is not that stream's. */
  async publish(
    stream: string,
    subject: string,
    payload: Uint8Array,
    named: Readonly<Record<string, string>>,
    timeout_ms: number,
  ): Promise<number> {
    const options = requestOptions(timeout_ms, { "Nats-Expected-Stream": stream, ...named });
    const answer = await this.link.connection.request(subject, payload, options);
    const { stream: by, seq, error } = JSON.parse(decoder.decode(answer.data)) as PubAck;
    if (error !== undefined) throw new Refusal(error);
    if (by !== stream || seq === undefined) throw new Error(`stream ${stream} did not answer`);
    return seq;
  }

  /** Removes one message and overwrites its bytes in the server's files. */
  async erase(
    stream: string,
    seq: number,
    named: Readonly<Record<string, string>>,
    timeout_ms: number,
  ): Promise<void> {
    const { connection } = this.link;
    await callApi(connection, `STREAM.MSG.DELETE.${stream}`, { seq }, timeout_ms, named);
  }

  /** The subject's newest or oldest message, from the leader. */
  message(
    stream: string,
    subject: string,
    which: "newest" | "oldest",
    timeout_ms: number,
  ): Promise<StoredMessage | undefined> {
    const question = which === "newest"
      ? { last_by_subj: subject }
      : { seq: 1, next_by_subj: subject };
    return this.#message(stream, question, timeout_ms);
  }

  /** The message with that sequence, or the first one stored at or after that time (RFC 3339), from the leader. */
  messageAt(
    stream: string,
    place: { readonly seq: number } | { readonly start_time: string },
    timeout_ms: number,
  ): Promise<StoredMessage | undefined> {
    const question = "seq" in place ? place : { ...place, next_by_subj: ">" };
    return this.#message(stream, question, timeout_ms);
  }

  async #message(
    stream: string,
    question: unknown,
    timeout_ms: number,
  ): Promise<StoredMessage | undefined> {
    try {
      const { message } = await this.#call<{ message: StoredMessage }>(
        `STREAM.MSG.GET.${stream}`,
        question,
        timeout_ms,
      );
      return message;
    } catch (error) {
      if (error instanceof Refusal && error.code === CODES.messageNotFound) return undefined;
      throw error;
    }
  }

  #call<T>(verb: string, question: unknown, timeout_ms: number): Promise<T> {
    return callApi(this.link.connection, verb, question, timeout_ms);
  }
}

/** True for errors of an election, a restart or a lost packet: a retry may succeed. */
function passes(error: unknown): boolean {
  if (error instanceof Refusal) {
    return error.code === CODES.temporarilyUnavailable || error.code === CODES.notLeader;
  }
  return !(error instanceof ArqonError || error instanceof TypeError ||
    error instanceof StreamLost);
}

/**
 * Retries until there is a final answer, or the longer of `within_ms` and `link.patience_ms` has passed. `attempt`
 * gets its remaining time. Rejects with `log-unavailable`, `spine-unavailable` while disconnected, or `StreamLost`.
 */
export async function insist<T>(
  link: Link,
  attempt: (timeout_ms: number) => Promise<T>,
  within_ms = 0,
): Promise<T> {
  const { request_timeout_ms } = link;
  const deadline_ms = link.monotonic() + Math.max(link.patience_ms, within_ms);
  const left = () => deadline_ms - link.monotonic();
  for (;;) {
    if (!await link.connected(link.isStarting() ? left() : 0)) throw link.unavailable();
    try {
      return await link.guard(attempt(Math.max(1, Math.min(left(), request_timeout_ms) / 2)));
    } catch (error) {
      if (error instanceof StreamLost) throw error;
      const hopeless = !passes(error) || (hasNoResponder(error) && isWithoutJetStream(link));
      if (hopeless || left() <= RETRY_MS) throw logError(link, error);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Converts any failure to an error that says why the log is not available. */
export function logError(link: Link, cause: unknown): Error {
  if (cause instanceof ArqonError || cause instanceof TypeError) return cause;
  const why = hasNoResponder(cause)
    ? jetStreamSilence(link)
    : cause instanceof errors.TimeoutError
    ? `no answer in ${link.request_timeout_ms} ms`
    : cause instanceof Error
    ? cause.message
    : String(cause);
  return logUnavailable(why, lacksStorage(cause) || FULL.test(why), cause);
}

/** The server's and the engine's own headers; callers' are lower case by convention. */
const OWN = "Nats-";

/** The headers without the server's own. */
function callersHeaders(all: Iterable<readonly [string, string]>): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of all) if (!name.startsWith(OWN)) headers[name] = value;
  return headers;
}

/** A message of a direct read. */
export function fromDirect({ headers, payload }: Answer): LogMessage {
  return {
    offset: Number(headers[LOG_OFFSET_HEADER] ?? ""),
    time_ms: Date.parse(headers[LOG_TIME_HEADER] ?? ""),
    payload,
    headers: callersHeaders(Object.entries(headers)),
  };
}

function* lines(block: string): Generator<readonly [string, string]> {
  for (const line of block.split("\r\n").slice(1)) {
    const colon = line.indexOf(":");
    if (colon > 0) yield [line.slice(0, colon), line.slice(colon + 1).trim()];
  }
}

/** A message from the leader's JSON. */
export function fromStored(stored: StoredMessage): LogMessage {
  const block = stored.hdrs === undefined
    ? ""
    : new TextDecoder().decode(Uint8Array.fromBase64(stored.hdrs));
  return {
    offset: stored.seq,
    time_ms: Date.parse(stored.time),
    payload: stored.data === undefined ? new Uint8Array(0) : Uint8Array.fromBase64(stored.data),
    headers: callersHeaders(lines(block)),
  };
}

/** `${room_id}/${key}` as a header value: printable ASCII, and different for different keys. */
export function messageId(room_id: string, key: string): string {
  const id = `${room_id}/${key}`;
  if (/^[!-$&-~]*$/.test(id)) return id;
  // Surrogates without a partner have no UTF-8 form.
  return id.toWellFormed().replace(
    /[^!-$&-~]/gu,
    (part) =>
      part.charCodeAt(0) < 128
        ? `%${part.charCodeAt(0).toString(16).padStart(2, "0").toUpperCase()}`
        : encodeURIComponent(part),
  );
}
