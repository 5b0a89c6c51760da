/**
 * JetStream's API for whole streams: list, snapshot, restore, delete, as `nats stream backup` and `restore` use it. The
 * format of a snapshot is the server's.
 */
import { ArqonError } from "@arqon/proto";
import { createInbox, errors, type Msg, type NatsConnection } from "@nats-io/transport-deno";
import { isRefused, Refusal, StreamLost } from "../spine/nats/connection/nats_errors.ts";
import { callApi } from "../spine/nats/log/nats_log_api.ts";
import type { StreamNames } from "./stream_order.ts";
import { within } from "../within.ts";

/** A configuration, passed on unchanged. */
export interface RawConfig {
  readonly name: string;
  readonly subjects?: readonly string[];
  readonly num_replicas: number;
  readonly [more: string]: unknown;
}

/** The state of a stream at its snapshot. */
export interface RawState {
  readonly messages: number;
  readonly bytes: number;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly [more: string]: unknown;
}

/** A stream and its size. */
export interface ListedStream extends StreamNames {
  readonly config: RawConfig;
  readonly state: RawState;
  /** For a mirror: messages behind its origin, and ns since the last contact; -1: never. */
  readonly mirror?: { readonly lag: number; readonly active: number } | undefined;
}

/** A running snapshot of a stream. */
export interface Snapshot {
  readonly config: RawConfig;
  readonly state: RawState;
  /** Its bytes, a compressed archive. Rejects if the server gives up. */
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** A stream being restored. */
export interface Restoring {
  /** The next bytes. */
  write(bytes: Uint8Array): Promise<void>;
  finish(): Promise<void>;
}

interface StreamPage {
  readonly total: number;
  /** Streams that no server reports now. */
  readonly missing?: readonly string[] | null;
  readonly streams?:
    | readonly Pick<ListedStream, "config" | "state" | "mirror">[]
    | null;
}

const CHUNK_BYTES = 131_072;
/** Chunks of a restore, each of which is answered: larger ones need fewer round trips. */
const RESTORE_CHUNK_BYTES = 524_288;
/** Bytes of a payload reserved for subject and headers. */
const SPARE_BYTES = 1_024;
/**
 * A server that is silent for so long has given up; its own timeout is shorter. Longer than requests of the message
 * path: busy servers take many seconds to place a stream of three replicas.
 */
const STALLED_MS = 30_000;
/** Timeout for installing a stream once all of it has arrived. */
const INSTALL_MS = 600_000;
const NO_CONTENT = 204;

const failure = (what: string, why: string, cause?: unknown) =>
  new ArqonError("spine-unavailable", `${what}: ${why}`, { cause });

function whyOf(error: unknown): string {
  if (error instanceof errors.PermissionViolationError || error instanceof Refusal) {
    return error.message;
  }
  if (error instanceof errors.TimeoutError || error instanceof errors.RequestError) {
    return "JetStream does not answer; may this NATS user ask for it?";
  }
  return error instanceof Error ? error.message : String(error);
}

/** The API on one connection. Rejects with `spine-unavailable`, naming the stream. */
export class StreamApi {
  readonly connection: NatsConnection;
  readonly #prefix: string;

  /** `domain`: that of other servers; absent: these. */
  constructor(connection: NatsConnection, domain?: string) {
    this.connection = connection;
    this.#prefix = domain === undefined ? "$JS.API" : `$JS.${domain}.API`;
  }

  /** All streams of the account. Rejects while the servers lack one of them, unless `lost` takes their names. */
  async list(lost?: string[]): Promise<ListedStream[]> {
    const found: ListedStream[] = [];
    for (;;) {
      const question = { offset: found.length + (lost?.length ?? 0) };
      const page = await this.#call<StreamPage>("STREAM.LIST", question);
      const { streams, missing } = { streams: page.streams ?? [], missing: page.missing ?? [] };
      lost?.push(...missing);
      if (missing.length > 0 && lost === undefined) {
        throw failure("STREAM.LIST", `no leader for ${missing.slice(0, 4).join(", ")} now`);
      }
      for (const stream of streams) {
        const { name, subjects = [] } = stream.config;
        found.push({ ...stream, name, subjects });
      }
      if (streams.length === 0 || found.length + (lost?.length ?? 0) >= page.total) return found;
    }
  }

  /** Undefined if the stream does not exist. The caller must read its chunks. */
  async snapshot(stream: string): Promise<Snapshot | undefined> {
    const deliver_subject = createInbox();
    const arriving = this.connection.subscribe(deliver_subject);
    try {
      const question = { deliver_subject, no_consumers: true, chunk_size: CHUNK_BYTES };
      const { config, state } = await this.#call<Pick<Snapshot, "config" | "state">>(
        `STREAM.SNAPSHOT.${stream}`,
        question,
      );
      return { config, state, chunks: this.#chunks(stream, arriving) };
    } catch (error) {
      arriving.unsubscribe();
      if (error instanceof StreamLost) return undefined;
      throw error;
    }
  }

  /**
   * Starts to restore a stream from a snapshot; it exists once `finish` has resolved. Rejects if there is one of that
   * name. The server drops an abandoned restore.
   */
  async restore(config: RawConfig, state: RawState): Promise<Restoring> {
    const { name } = config;
    const { deliver_subject } = await this.#placed<{ deliver_subject: string }>(
      `STREAM.RESTORE.${name}`,
      config,
      (placed) => ({ config: placed, state }),
    );
    const payload_max = (this.connection.info?.max_payload ?? CHUNK_BYTES) - SPARE_BYTES;
    const max = Math.min(RESTORE_CHUNK_BYTES, payload_max);
    return {
      write: async (bytes) => {
        for (let at = 0; at < bytes.length; at += max) {
          const piece = bytes.subarray(at, at + max);
          const answer = await this.#ask(deliver_subject, piece, STALLED_MS, name);
          if (answer.data.length > 0) throw failure(name, refusalIn(answer));
        }
      },
      finish: async () => {
        const last = await this.#ask(deliver_subject, new Uint8Array(), INSTALL_MS, name);
        const { error } = last.json<
          { readonly error?: ConstructorParameters<typeof Refusal>[0] }
        >();
        if (error !== undefined) throw failure(name, new Refusal(error).message);
      },
    };
  }

  async create(config: RawConfig): Promise<void> {
    await this.#placed(`STREAM.CREATE.${config.name}`, config, (placed) => placed);
  }

  async update(config: RawConfig): Promise<void> {
    await this.#call(`STREAM.UPDATE.${config.name}`, config);
  }

  /** Deletes a stream with its messages; ignores a missing one. */
  async remove(stream: string): Promise<void> {
    try {
      await this.#call(`STREAM.DELETE.${stream}`, {});
    } catch (error) {
      if (!(error instanceof StreamLost)) throw error;
    }
  }

  /** Uses one replica if a server reports that it is alone: a server with a leaf node looks like part of a cluster. */
  async #placed<A>(
    verb: string,
    config: RawConfig,
    question: (placed: RawConfig) => unknown,
  ): Promise<A> {
    try {
      return await this.#call(verb, question(config));
    } catch (error) {
      if (!(error instanceof ArqonError) || !isRefused(error.cause, "noReplicas")) throw error;
      return await this.#call(verb, question({ ...config, num_replicas: 1 }));
    }
  }

  async #ask(subject: string, data: Uint8Array, timeout: number, what: string): Promise<Msg> {
    try {
      return await this.connection.request(subject, data, { timeout });
    } catch (error) {
      throw failure(what, whyOf(error));
    }
  }

  async #call<A>(verb: string, question: unknown): Promise<A> {
    try {
      return await callApi(this.connection, verb, question, STALLED_MS, {}, this.#prefix);
    } catch (error) {
      throw error instanceof StreamLost ? error : failure(verb, whyOf(error), error);
    }
  }

  async *#chunks(
    stream: string,
    arriving: ReturnType<NatsConnection["subscribe"]>,
  ): AsyncGenerator<Uint8Array> {
    const messages = arriving[Symbol.asyncIterator]();
    const stalled = () => {
      throw failure(stream, `no answer within ${STALLED_MS} ms`);
    };
    try {
      for (;;) {
        const { done, value } = await within(STALLED_MS, messages.next(), stalled);
        if (done === true) throw failure(stream, "the connection to NATS was lost");
        if (value.data.length === 0) return requireWhole(stream, value);
        yield value.data;
        // Only now: the server's window limits what is queued here unread.
        value.respond();
      }
    } finally {
      arriving.unsubscribe();
    }
  }
}

function refusalIn(answer: Msg): string {
  try {
    const { error } = answer.json<{ readonly error?: { readonly description?: string } }>();
    return error?.description ?? answer.string();
  } catch {
    return answer.string();
  }
}

/** The last message of a snapshot has a status, except from an older server on success. */
function requireWhole(stream: string, { headers }: Msg): void {
  const code = headers?.code ?? 0;
  if (code === 0 || code === NO_CONTENT) return;
  throw failure(stream, `the server gave up its snapshot: ${headers?.description || code}`);
}
