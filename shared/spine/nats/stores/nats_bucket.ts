/**
 * One JetStream stream as a bucket: created, read and written. Operations interrupted by a dropped connection are
 * retried until the deadline. Every stored payload begins with the 16-byte nonce of its writer, which is also the
 * message id, so that a write with a lost acknowledgement is recognised. The layout is that of `nats kv`
 * (`KV_<bucket>`, `$KV.<bucket>.<key>`), apart from the nonce. A plain bucket has no nonces; there a lost
 * acknowledgement is recognised by the value.
 */
import { ArqonError } from "@arqon/proto";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { ENCODED_KEYS, type KeyForm, PLAIN_KEYS } from "../../contract/kv_key.ts";
import { ServerClock } from "../log/nats_log_clock.ts";
import { fromStored, headersOf, LogApi } from "../log/nats_log_api.ts";
import type { StreamConfig, StreamInfo } from "../log/nats_log_api.ts";
import { boundStream, makeShared, type NatsStorage } from "../log/nats_storage.ts";
import {
  hasNoResponder,
  isRefused,
  isStreamMissing,
  NotRestored,
  persist,
  Refusal,
} from "../connection/nats_errors.ts";
import type { Link } from "../connection/nats_link.ts";
import type { KeyValueOptions } from "../../contract/spine.ts";
import { BUCKET_BYTES_MIN, RESTORE_KEY } from "../../contract/storage_plan.ts";

/** Bytes of the nonce before every stored value. */
const NONCE_BYTES = 16;
/** How long a deletion stays visible to disconnected watchers, as NATS writes durations. */
const MARKER_TTL = "24h";
/** The same for a bucket without watchers: longer than a write is retried. */
const UNWATCHED_TTL = "60s";
const OPERATION = "KV-Operation";
const EXPECTED = "Nats-Expected-Last-Subject-Sequence";
/** The window in which the server remembers the ids of writes, in ns. */
const DUPLICATE_WINDOW = 120e9;

/** What the bus relies on: writes are confirmed, and none of them removes another key's. */
export const RELIED = { retention: "limits", discard: "new", no_ack: false };
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
export const isDeletion = (headerOf: (name: string) => string | undefined): boolean =>
  ["DEL", "PURGE"].includes(headerOf(OPERATION) ?? "") || !!headerOf("Nats-Marker-Reason");

/** Whether both have the same bytes. */
const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, at) => byte === b[at]);

const isWrongSequence = (error: unknown) => isRefused(error, "wrongLast", "wrongLastInProcess");

/** True if the server refused: the write had no effect. */
const isWithoutEffect = (error: unknown) =>
  error instanceof Refusal || isStreamMissing(error) || hasNoResponder(error);

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
  readonly #api: LogApi;
  readonly #timeout_ms: number;
  readonly #manager: Promise<JetStreamManager>;
  /** The server's clock, which it stamps writes with. */
  readonly #clock: ServerClock;

  constructor(
    link: Link,
    storage: NatsStorage,
    name: string,
    { plain = false, leaves_stream = false, unwatched = false }: KeyValueOptions,
  ) {
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
    this.#api = new LogApi(link);
    const timeout = this.#timeout_ms = Math.max(1, link.request_timeout_ms / 2);
    this.#manager = jetstreamManager(link.connection, { timeout, checkAPI: false });
  }

  async consumers(): Promise<JetStreamManager["consumers"]> {
    return (await this.#manager).consumers;
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
    const found = await this.#info();
    if (found === undefined) {
      await makeShared(this.#storage, this.#api, this.#config(), this.#timeout_ms);
      // Its answer has the server's time.
      await this.#info();
      return;
    }
    const { config } = found;
    if (config.metadata?.[RESTORE_KEY] !== undefined) throw new NotRestored();
    if (this.#leaves_stream) this.#storage.note(this.stream, config.max_bytes);
    else await boundStream(this.#storage, this.#api, found, this.relied, this.#timeout_ms);
  }

  /** The settings that reads and writes depend on. */
  get relied(): object {
    // Other tools may read the plain bucket directly, and keep more of it; our own reads never do.
    return { ...RELIED, ...EXPIRING, ...(this.frame_bytes > 0 && OWN) };
  }

  /** Creates the stream with the smallest bound if missing; `ensure` sets the final one. */
  async claim(): Promise<void> {
    if (await this.#info() !== undefined) return;
    const config = { ...this.#config(), max_bytes: BUCKET_BYTES_MIN };
    await this.#api.create(config, this.#timeout_ms).catch((error: unknown) => {
      if (!isRefused(error, "nameInUse")) throw error;
    });
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
        if (isWithoutEffect(error)) unanswered--;
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

  /** As `persist` of `nats_errors.ts`, for this bucket. */
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
    const asked_ms = this.link.monotonic();
    const info = await this.#api.find(this.stream, this.#timeout_ms);
    this.noteTime(info?.ts, asked_ms);
    return info;
  }

  async #last(storedKey: string): Promise<Stored | undefined> {
    const subject = this.subject(storedKey);
    const stored = await this.#api.message(this.stream, subject, "newest", this.#timeout_ms);
    if (stored === undefined) return undefined;
    const headers = headersOf(stored);
    const { offset: revision, time_ms, payload } = fromStored(stored);
    const value = this.valueOf(payload);
    const has_nonce = this.frame_bytes > 0 && value !== undefined;
    return {
      revision,
      deleted: isDeletion((name) => headers[name]),
      nonce: has_nonce ? payload.slice(0, this.frame_bytes) : undefined,
      value,
      age_ms: this.#clock.is_set ? Math.max(0, this.#clock.now() - time_ms) : undefined,
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
    timeout_ms: number,
  ): Promise<number> {
    const named = {
      "Nats-Msg-Id": nonce.toHex(),
      ...(deletion && { [OPERATION]: "DEL", "Nats-TTL": this.#marker_ttl }),
      ...(expected !== undefined && { [EXPECTED]: String(expected) }),
    };
    const subject = this.subject(storedKey);
    return (await this.#api.publish(this.stream, subject, payload, named, timeout_ms)).seq;
  }

  /**
   * Asks the server whether it remembers the id of a write (it does for two minutes) and its sequence. The request is a
   * publish that cannot succeed.
   */
  async #recall(
    storedKey: string,
    nonce: Uint8Array,
    timeout_ms: number,
  ): Promise<number | undefined> {
    try {
      const named = { "Nats-Msg-Id": nonce.toHex(), ...await this.#impossible() };
      const subject = this.subject(storedKey);
      const ack = await this.#api.publish(this.stream, subject, nonce, named, timeout_ms);
      return ack.is_known ? ack.seq : undefined;
    } catch (error) {
      if (isRefused(error, "wrongLastId") || isWrongSequence(error)) return undefined;
      throw error;
    }
  }

  /**
   * A condition that no publish can meet, and that the server checks after the id. With replicas, the leader must check
   * it before it replicates the message: a message with a wrong last id would reach all replicas, each would treat the
   * refusal as a failed write, and none could lead the bucket again (2.15.2).
   */
  async #impossible(): Promise<Record<string, string>> {
    const found = await this.#info();
    return (found?.config.num_replicas ?? 1) > 1
      ? { [EXPECTED]: String(Number.MAX_SAFE_INTEGER) }
      : { "Nats-Expected-Last-Msg-Id": "none has this id" };
  }

  #config(): Omit<StreamConfig, "max_bytes"> {
    const config = {
      name: this.stream,
      subjects: [this.subject(">")],
      ...RELIED,
      ...EXPIRING,
      ...OWN,
      storage: "file",
      allow_rollup_hdrs: true,
      deny_delete: true,
      num_replicas: this.link.replicas,
      duplicate_window: DUPLICATE_WINDOW,
    };
    return config;
  }
}
