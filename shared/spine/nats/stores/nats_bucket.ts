/**
 * One JetStream stream as a bucket: created, read and written. Operations interrupted by a dropped connection are
 * retried until the deadline. Every stored payload begins with the 16-byte nonce of its writer, which is also the
 * message id, so that a write with a lost acknowledgement is recognised. The layout is that of `nats kv`
 * (`KV_<bucket>`, `$KV.<bucket>.<key>`), apart from the nonce. A plain bucket has no nonces; there a lost
 * acknowledgement is recognised by the value.
 */
import { ArqonError } from "@arqon/proto";
import {
  DiscardPolicy,
  jetstream,
  JetStreamApiCodes,
  JetStreamApiError,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import type {
  JetStreamClient,
  JetStreamManager,
  StreamConfig,
  StreamInfo,
} from "@nats-io/jetstream";
import { headers, type MsgHdrs, nanos } from "@nats-io/transport-deno";
import { ENCODED_KEYS, type KeyForm, PLAIN_KEYS } from "../../contract/kv_key.ts";
import { ServerClock } from "../log/nats_log_clock.ts";
import { differing, warnOfAltered } from "../log/nats_log_api.ts";
import { boundStream, makeBounded, type NatsStorage } from "../log/nats_storage.ts";
import {
  apiCode,
  hasNoResponder,
  isMade,
  isStreamMissing,
  NotRestored,
  persist,
} from "../connection/nats_link.ts";
import type { Link } from "../connection/nats_link.ts";
import { BUCKET_BYTES_MIN, RESTORE_KEY } from "../../contract/storage_plan.ts";

/** Bytes of the nonce before every stored value. */
const NONCE_BYTES = 16;
/** How long a deletion stays visible to disconnected watchers, as NATS writes durations. */
const MARKER_TTL = "24h";
/** The same for a bucket without watchers: longer than a write is retried. */
const UNWATCHED_TTL = "60s";
const OPERATION = "KV-Operation";
/** JetStream's error code for a wrong last message id; nats.js does not name it. */
const WRONG_LAST_MESSAGE_ID = 10070;

/** What the bus relies on: writes are confirmed, and none of them removes another key's. */
export const RELIED = {
  retention: RetentionPolicy.Limits,
  discard: DiscardPolicy.New,
  no_ack: false,
};
/** The same in a bucket that no other tool uses: it has no former values, which an erasure would leave. */
const OWN = {
  max_msgs_per_subject: 1,
  // An entry would end without a deletion: a ban, a tenant's settings.
  max_age: 0,
  max_msgs: -1,
  // Reads from a replica could miss an acknowledged write.
  allow_direct: false,
};
/** Deletions expire. */
const EXPIRING = { allow_msg_ttl: true };

/** Sets again those of the settings that somebody has changed. */
export async function setAgain(
  link: Pick<Link, "log">,
  streams: Pick<JetStreamManager["streams"], "update">,
  config: StreamConfig,
  relied: object,
): Promise<void> {
  const altered = differing(config, relied);
  if (altered.length === 0) return;
  warnOfAltered(link, config.name, altered);
  await streams.update(config.name, relied);
}

/** The last write to a key. */
export interface Stored {
  readonly revision: number;
  readonly deleted: boolean;
  /** The nonce of its writer; undefined for values of other tools, and in a plain bucket. */
  readonly nonce: Uint8Array | undefined;
  /** The value; undefined if ArqonBus cannot have written it. */
  readonly value: Uint8Array | undefined;
  /** See `KvEntry`; undefined while the server's time is unknown. */
  readonly age_ms: number | undefined;
}

interface Write {
  readonly storedKey: string;
  readonly nonce: Uint8Array;
  readonly payload: Uint8Array;
  readonly deletion: boolean;
  /** Expected sequence of the key's last write; undefined: any. */
  readonly expected: number | undefined;
}

/** The outcome of a write: its sequence, or the conflict. */
export type Written =
  | { readonly revision: number }
  | { readonly conflict: Stored | undefined };

/** True for the headers of a deletion, including the server's own. */
export function isDeletion(found: MsgHdrs | undefined): boolean {
  return found !== undefined &&
    (["DEL", "PURGE"].includes(found.get(OPERATION)) || found.has("Nats-Marker-Reason"));
}

/** Whether both have the same bytes. */
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, at) => byte === b[at]);

function isWrongSequence(error: unknown): boolean {
  const code = apiCode(error);
  return code === JetStreamApiCodes.StreamWrongLastSequence ||
    code === JetStreamApiCodes.StreamWrongLastSequenceUnknown;
}

/** True if the server refused: the write had no effect. */
function isRefusal(error: unknown): boolean {
  return error instanceof JetStreamApiError || hasNoResponder(error);
}

/** The options of a bucket. */
export interface BucketOptions {
  readonly plain: boolean;
  readonly storage: NatsStorage;
  /** True: creates a missing stream and never changes an existing one, which another process configures. */
  readonly leaves_stream: boolean;
  /** See `KeyValueOptions`. */
  readonly unwatched?: boolean;
}

/** One bucket's stream. */
export class Bucket {
  readonly link: Link;
  readonly stream: string;
  readonly what: string;
  readonly keys: KeyForm;
  /** Bytes of the nonce before every stored value; 0 in a plain bucket. */
  readonly frame_bytes: number;
  readonly #name: string;
  readonly #storage: NatsStorage;
  readonly #leaves_stream: boolean;
  readonly #marker_ttl: string;
  readonly #js: JetStreamClient;
  readonly #manager: Promise<JetStreamManager>;
  /** The server's clock, which it stamps writes with. */
  readonly #clock: ServerClock;

  constructor(link: Link, name: string, options: BucketOptions) {
    const { plain, storage, leaves_stream, unwatched = false } = options;
    this.link = link;
    this.#clock = new ServerClock(() => link.monotonic());
    this.#marker_ttl = unwatched ? UNWATCHED_TTL : MARKER_TTL;
    this.#storage = storage;
    this.#leaves_stream = leaves_stream;
    this.keys = plain ? PLAIN_KEYS : ENCODED_KEYS;
    this.frame_bytes = plain ? 0 : NONCE_BYTES;
    this.#name = name;
    this.stream = `KV_${name}`;
    this.what = `bucket ${name}`;
    const timeout = { timeout: Math.max(1, link.request_timeout_ms / 2) };
    this.#js = jetstream(link.connection, timeout);
    this.#manager = jetstreamManager(link.connection, { ...timeout, checkAPI: false });
  }

  manager(): Promise<JetStreamManager> {
    return this.#manager;
  }

  /** The bound of its stream; undefined: unknown. */
  get limit_bytes(): number | undefined {
    return this.#storage.boundOf(this.stream);
  }

  subject(storedKey: string): string {
    return `$KV.${this.#name}.${storedKey}`;
  }

  storedKey(subject: string): string {
    return subject.slice(this.subject("").length);
  }

  /** The value in a stored payload; undefined when it is too short to have a nonce. */
  valueOf(payload: Uint8Array): Uint8Array | undefined {
    if (payload.length < this.frame_bytes) return undefined;
    return new Uint8Array(payload).slice(this.frame_bytes);
  }

  /** Creates the stream if missing, bounds it, and corrects the settings that reads depend on. */
  async ensure(): Promise<void> {
    const { streams } = await this.#manager;
    const found = await this.#info();
    if (found === undefined) {
      await makeBounded(this.#storage, streams, this.#config());
      // Its answer has the server's time.
      await this.#info();
      return;
    }
    const { config } = found;
    if (config.metadata?.[RESTORE_KEY] !== undefined) throw new NotRestored();
    if (this.#leaves_stream) this.#storage.note(this.stream, config.max_bytes);
    else await boundStream(this.#storage, streams, found);
    if (!this.#leaves_stream) await setAgain(this.link, streams, config, this.relied);
  }

  /** The settings that reads and writes depend on. */
  get relied(): Partial<StreamConfig> {
    // Other tools may read the plain bucket directly, and keep more of it; our own reads never do.
    return { ...RELIED, ...EXPIRING, ...(this.frame_bytes > 0 && OWN) };
  }

  /** Creates the stream with the smallest bound if missing; `ensure` sets the final one. */
  async claim(): Promise<void> {
    if (await this.#info() !== undefined) return;
    const { streams } = await this.#manager;
    await streams.add({ ...this.#config(), max_bytes: BUCKET_BYTES_MIN }).catch(
      (error: unknown) => {
        if (!isMade(error)) throw error;
      },
    );
  }

  /** The last write to the key, including a deletion; undefined: none. */
  read(storedKey: string): Promise<Stored | undefined> {
    return this.persist(() => this.#last(storedKey));
  }

  /**
   * Writes `value`, or a deletion when it is undefined. With `expected`, only if that is the sequence
   * of the key's last write (a deletion counts). Rejects with `spine-unavailable` when the outcome
   * stays unknown.
   */
  async write(
    storedKey: string,
    value: Uint8Array | undefined,
    expected: number | undefined,
  ): Promise<Written> {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const payload = new Uint8Array(this.frame_bytes + (value?.length ?? 0));
    payload.set(nonce.subarray(0, this.frame_bytes));
    payload.set(value ?? [], this.frame_bytes);
    const deletion = value === undefined;
    const write: Write = { storedKey, nonce, payload, deletion, expected };
    // Attempts without an answer: each may have been stored.
    let unanswered = 0;
    const written = await this.persist(async (timeout_ms): Promise<Written> => {
      unanswered++;
      try {
        return { revision: await this.#publish(write, timeout_ms) };
      } catch (error) {
        if (isRefusal(error)) unanswered--;
        if (!isWrongSequence(error)) throw error;
      }
      const last = await this.#last(storedKey);
      if (last !== undefined && this.#isMine(last, write, unanswered)) {
        return { revision: last.revision };
      }
      if (unanswered === 0) return { conflict: last };
      const revision = await this.#recall(storedKey, nonce, timeout_ms);
      return revision === undefined ? { conflict: last } : { revision };
    });
    if ("revision" in written || unanswered === 0) return written;
    // An attempt may have been stored and overwritten since, so the outcome is unknown.
    throw new ArqonError("spine-unavailable", "a write has an unknown outcome; read the key");
  }

  /** As `persist` of `nats_link.ts`, for this bucket. */
  async persist<T>(attempt: (timeout_ms: number) => Promise<T>, within_ms?: number): Promise<T> {
    try {
      return await persist(this, attempt, within_ms);
    } catch (error) {
      this.#storage.leaders.doubt(this.stream);
      throw error;
    }
  }

  /** Records the server's time in an answer; `asked_ms` is the time of the request, by `link.monotonic`. */
  noteTime(time: string | undefined, asked_ms: number): void {
    if (time !== undefined) this.#clock.note(time, asked_ms);
  }

  /** Unix ms by the server's clock, asked for now. */
  async time(): Promise<number> {
    await this.#info();
    if (!this.#clock.is_set) throw new Error(`${this.stream} is not there`);
    return this.#clock.now();
  }

  /** The stream's info; undefined without a stream. */
  async #info(): Promise<StreamInfo | undefined> {
    const { streams } = await this.#manager;
    const asked_ms = this.link.monotonic();
    try {
      const info = await streams.info(this.stream);
      this.noteTime(info.ts, asked_ms);
      return info;
    } catch (error) {
      if (isStreamMissing(error)) return undefined;
      throw error;
    }
  }

  async #last(storedKey: string): Promise<Stored | undefined> {
    const { streams } = await this.#manager;
    const message = await streams.getMessage(this.stream, {
      last_by_subj: this.subject(storedKey),
    });
    if (message === null) return undefined;
    const value = this.valueOf(message.data);
    const has_nonce = this.frame_bytes > 0 && value !== undefined;
    return {
      revision: message.seq,
      deleted: isDeletion(message.header),
      nonce: has_nonce ? new Uint8Array(message.data).slice(0, this.frame_bytes) : undefined,
      value,
      age_ms: this.#clock.is_set
        ? Math.max(0, this.#clock.now() - message.time.getTime())
        : undefined,
    };
  }

  /**
   * Whether the last write of the key is this one. Without a nonce it compares the value, but only after an unanswered
   * attempt: otherwise another writer has written the same value.
   */
  #isMine(last: Stored, { nonce, payload, deletion }: Write, unanswered: number): boolean {
    if (last.nonce !== undefined) return sameBytes(last.nonce, nonce);
    if (this.frame_bytes > 0 || unanswered === 0 || last.deleted !== deletion) return false;
    return last.value !== undefined && sameBytes(last.value, payload);
  }

  async #publish(
    { storedKey, nonce, payload, deletion, expected }: Write,
    timeout: number,
  ): Promise<number> {
    const found = headers();
    if (deletion) {
      found.set(OPERATION, "DEL");
      found.set("Nats-TTL", this.#marker_ttl);
    }
    const ack = await this.#js.publish(this.subject(storedKey), payload, {
      msgID: nonce.toHex(),
      headers: found,
      timeout,
      ...(expected === undefined ? {} : { expect: { lastSubjectSequence: expected } }),
    });
    return ack.seq;
  }

  /**
   * Asks the server whether it remembers the id of a write (it does for two minutes) and its sequence. The request is a
   * publish that cannot succeed.
   */
  async #recall(
    storedKey: string,
    nonce: Uint8Array,
    timeout: number,
  ): Promise<number | undefined> {
    try {
      const ack = await this.#js.publish(this.subject(storedKey), nonce, {
        msgID: nonce.toHex(),
        expect: await this.#impossible(),
        timeout,
      });
      return ack.duplicate ? ack.seq : undefined;
    } catch (error) {
      if (apiCode(error) === WRONG_LAST_MESSAGE_ID || isWrongSequence(error)) return undefined;
      throw error;
    }
  }

  /**
   * A condition that no publish can meet, and that the server checks after the id. With replicas, the leader must check
   * it before it replicates the message: a message with a wrong last id would reach all replicas, each would treat the
   * refusal as a failed write, and none could lead the bucket again (2.15.2).
   */
  async #impossible(): Promise<{ lastMsgID: string } | { lastSubjectSequence: number }> {
    const found = await this.#info();
    return (found?.config.num_replicas ?? 1) > 1
      ? { lastSubjectSequence: Number.MAX_SAFE_INTEGER }
      : { lastMsgID: "none has this id" };
  }

  #config(): Partial<StreamConfig> & { name: string } {
    return {
      name: this.stream,
      subjects: [this.subject(">")],
      ...RELIED,
      ...EXPIRING,
      ...OWN,
      storage: StorageType.File,
      allow_rollup_hdrs: true,
      deny_delete: true,
      num_replicas: this.link.replicas,
      duplicate_window: nanos(120_000),
    };
  }
}
