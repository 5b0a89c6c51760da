/**
 * The part of JetStream's JSON API that streams need. One request, one answer; direct reads are in `nats_log_read.ts`,
 * failures in `nats_errors.ts`.
 */
import { headers, type NatsConnection } from "@nats-io/transport-deno";
import type { Answer, PubAck } from "../connection/nats_frames.ts";
import { isRefused, isStreamMissing, Refusal, StreamLost } from "../connection/nats_errors.ts";
import type { Link } from "../connection/nats_link.ts";
import { LOG_OFFSET_HEADER, LOG_TIME_HEADER } from "../../contract/durable_log.ts";
import type { Kept, LogMessage } from "../../contract/durable_log.ts";

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
  /** Single messages cannot be removed: somebody set this, and NATS cannot unset it. */
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

/** Sets again those of the settings that somebody has changed. */
export async function setAgain(
  api: LogApi,
  config: StreamConfig,
  relied: object,
  timeout_ms: number,
): Promise<void> {
  const altered = differing(config, relied);
  if (altered.length === 0) return;
  warnOfAltered(api.link, config.name, altered);
  await api.update({ ...config, ...relied }, timeout_ms);
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
export interface StoredMessage {
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
  prefix = "$JS.API",
): Promise<T> {
  const payload = encoder.encode(JSON.stringify(question));
  const answer = await connection.request(
    `${prefix}.${verb}`,
    payload,
    requestOptions(timeout_ms, named),
  );
  const parsed = JSON.parse(decoder.decode(answer.data));
  if (parsed.error === undefined) return parsed;
  const refusal = new Refusal(parsed.error);
  throw isStreamMissing(refusal) ? new StreamLost("the stream is gone") : refusal;
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

  /** As `info`; undefined: there is no such stream. */
  async find(stream: string, timeout_ms: number): Promise<StreamInfo | undefined> {
    try {
      return await this.info(stream, timeout_ms);
    } catch (error) {
      if (error instanceof StreamLost) return undefined;
      throw error;
    }
  }

  /** Matching subjects that have messages, in pages of up to 100,000. */
  async *subjects(
    stream: string,
    subjects_filter: string,
    timeout_ms: number,
  ): AsyncGenerator<readonly string[], void> {
    for (let offset = 0;;) {
      const { state, total = 0 } = await this.#call<StreamInfo & { readonly total?: number }>(
        `STREAM.INFO.${stream}`,
        { subjects_filter, offset },
        timeout_ms,
      );
      const subjects = Object.keys(state.subjects ?? {});
      yield subjects;
      offset += subjects.length;
      if (subjects.length === 0 || offset >= total) return;
    }
  }

  create(config: StreamConfig, timeout_ms: number): Promise<StreamInfo> {
    return this.#call(`STREAM.CREATE.${config.name}`, config, timeout_ms);
  }

  update(config: StreamConfig, timeout_ms: number): Promise<StreamInfo> {
    return this.#call(`STREAM.UPDATE.${config.name}`, config, timeout_ms);
  }

  /** Removes the messages of a subject that `keep` does not cover. */
  async purge(stream: string, filter: string, keep: Kept, timeout_ms: number): Promise<void> {
    const kept = typeof keep === "object" ? { seq: keep.through + 1 } : keep === 0 ? {} : { keep };
    await this.#call(`STREAM.PURGE.${stream}`, { filter, ...kept }, timeout_ms);
  }

  /** Stores a message, or finds that its id is known. Rejects also when the answer is not that stream's. */
  async publish(
    stream: string,
    subject: string,
    payload: Uint8Array,
    named: Readonly<Record<string, string>>,
    timeout_ms: number,
  ): Promise<{ readonly seq: number; readonly is_known: boolean }> {
    const options = requestOptions(timeout_ms, { "Nats-Expected-Stream": stream, ...named });
    const answer = await this.link.connection.request(subject, payload, options);
    const { stream: by, seq, duplicate, error } = JSON.parse(decoder.decode(answer.data)) as PubAck;
    if (error !== undefined) throw new Refusal(error);
    if (by !== stream || seq === undefined) throw new Error(`stream ${stream} did not answer`);
    return { seq, is_known: duplicate === true };
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
    const place = which === "newest"
      ? { last_by_subj: subject }
      : { seq: 1, next_by_subj: subject };
    return this.messageAt(stream, place, timeout_ms);
  }

  /**
   * The message with that sequence; with `next_by_subj` the first one of the subject from there on, or stored at or
   * after that time (RFC 3339). From the leader.
   */
  async messageAt(
    stream: string,
    place:
      | { readonly seq: number; readonly next_by_subj?: string }
      | { readonly start_time: string; readonly next_by_subj: string }
      | { readonly last_by_subj: string },
    timeout_ms: number,
  ): Promise<StoredMessage | undefined> {
    try {
      const verb = `STREAM.MSG.GET.${stream}`;
      return (await this.#call<{ message: StoredMessage }>(verb, place, timeout_ms)).message;
    } catch (error) {
      if (isRefused(error, "messageNotFound")) return undefined;
      throw error;
    }
  }

  #call<T>(verb: string, question: unknown, timeout_ms: number): Promise<T> {
    return callApi(this.link.connection, verb, question, timeout_ms);
  }
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

/** All headers of a message from the leader. */
export const headersOf = ({ hdrs }: StoredMessage): Record<string, string> =>
  hdrs === undefined ? {} : Object.fromEntries(lines(decoder.decode(Uint8Array.fromBase64(hdrs))));

/** A message from the leader's JSON. */
export function fromStored(stored: StoredMessage): LogMessage {
  return {
    offset: stored.seq,
    time_ms: Date.parse(stored.time),
    payload: Uint8Array.fromBase64(stored.data ?? ""),
    headers: callersHeaders(Object.entries(headersOf(stored))),
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
