/**
 * One JetStream stream as a bucket: made, read and written, with what a dropped connection cuts short
 * tried again until the deadline. Every stored payload begins with the 16-byte nonce of its writer,
 * and the nonce is the message id too: a write whose acknowledgement was lost is recognised, never
 * guessed. Layout as `nats kv` has it (`KV_<bucket>`, `$KV.<bucket>.<key>`), apart from the nonce. A
 * plain bucket has no nonces, and a lost acknowledgement is recognised by the value.
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
import type { JetStreamClient, JetStreamManager, StreamConfig } from "@nats-io/jetstream";
import { headers, nanos } from "@nats-io/transport-deno";
import type { MsgHdrs } from "@nats-io/transport-deno";
import { ENCODED_KEYS, PLAIN_KEYS } from "./kv_key.ts";
import type { KeyForm } from "./kv_key.ts";
import type { Link } from "./nats_link.ts";
import { apiCode, isStreamMissing, isUnheard, persist } from "./nats_persist.ts";

/** Bytes of the nonce before every stored value. */
export const NONCE_BYTES = 16;
/** How long a deletion stays visible to those who were away, as NATS writes durations. */
const MARKER_TTL = "24h";
const OPERATION = "KV-Operation";
/** JetStream's error code; nats.js does not name it. */
const WRONG_LAST_MESSAGE_ID = 10070;

/** The last write to a key. */
export interface Stored {
  readonly revision: number;
  readonly deleted: boolean;
  /** Of the writer; undefined for what was not written by ArqonBus, and in a plain bucket. */
  readonly nonce: Uint8Array | undefined;
  /** Undefined when it is none that ArqonBus can have written. */
  readonly value: Uint8Array | undefined;
}

/** One write on its way. */
interface Write {
  readonly storedKey: string;
  readonly nonce: Uint8Array;
  /** As it is stored. */
  readonly payload: Uint8Array;
  readonly deletion: boolean;
  /** Sequence that the key's last write must have; undefined: any. */
  readonly expected: number | undefined;
}

/** What became of a write: its sequence, or what stood in its way. */
export type Written =
  | { readonly revision: number }
  | { readonly conflict: Stored | undefined };

/** True for the headers of a deletion, also one that the server made. */
export function isDeletion(found: MsgHdrs | undefined): boolean {
  return found !== undefined &&
    (["DEL", "PURGE"].includes(found.get(OPERATION)) || found.has("Nats-Marker-Reason"));
}

const isSame = (a: Uint8Array, b: Uint8Array) =>
  a.length === b.length && a.every((byte, at) => byte === b[at]);

function isWrongSequence(error: unknown): boolean {
  const code = apiCode(error);
  return code === JetStreamApiCodes.StreamWrongLastSequence ||
    code === JetStreamApiCodes.StreamWrongLastSequenceUnknown;
}

/** True when the server said no: the write did not happen. */
function isRefusal(error: unknown): boolean {
  return error instanceof JetStreamApiError || isUnheard(error);
}

/** One bucket's stream. */
export class Bucket {
  readonly link: Link;
  readonly stream: string;
  readonly what: string;
  readonly keys: KeyForm;
  /** Bytes before every stored value. */
  readonly frame_bytes: number;
  readonly #name: string;
  readonly #js: JetStreamClient;
  readonly #manager: Promise<JetStreamManager>;

  constructor(link: Link, name: string, plain: boolean) {
    this.link = link;
    this.keys = plain ? PLAIN_KEYS : ENCODED_KEYS;
    this.frame_bytes = plain ? 0 : NONCE_BYTES;
    this.#name = name;
    this.stream = `KV_${name}`;
    this.what = `bucket ${name}`;
    const options = { timeout: Math.max(1, link.request_timeout_ms / 2) };
    this.#js = jetstream(link.connection, options);
    this.#manager = jetstreamManager(link.connection, { ...options, checkAPI: false });
  }

  manager(): Promise<JetStreamManager> {
    return this.#manager;
  }

  /** The subject of a stored key or pattern. */
  subject(storedKey: string): string {
    return `$KV.${this.#name}.${storedKey}`;
  }

  /** The stored key of a subject of this bucket. */
  storedKey(subject: string): string {
    return subject.slice(this.subject("").length);
  }

  /** The value in a stored payload; undefined when it is too short to have a nonce. */
  valueOf(payload: Uint8Array): Uint8Array | undefined {
    if (payload.length < this.frame_bytes) return undefined;
    return new Uint8Array(payload).slice(this.frame_bytes);
  }

  /** Makes the stream unless it is there, and corrects what reads depend on. */
  async ensure(): Promise<void> {
    const { streams } = await this.#manager;
    const wanted = this.#config();
    try {
      const { config } = await streams.info(this.stream);
      const is_read_right = config.allow_direct === false || this.frame_bytes === 0;
      if (is_read_right && config.allow_msg_ttl === true) return;
      // Another tool may hold the plain bucket open and read directly; our own reads never do.
      const direct = is_read_right ? {} : { allow_direct: false };
      await streams.update(this.stream, { ...direct, allow_msg_ttl: true });
    } catch (error) {
      if (!isStreamMissing(error)) throw error;
      await streams.add(wanted);
    }
  }

  /** The last write to the key, a deletion too; undefined when there is none. */
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
    // Tries that were sent and never answered: each may have been the write.
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
    // A try may have won and been overwritten since: neither yes nor no would be true.
    throw new ArqonError("spine-unavailable", "a write has an unknown outcome; read the key");
  }

  /** As `persist` of `nats_persist.ts`, for this bucket. */
  persist<T>(attempt: (timeout_ms: number) => Promise<T>): Promise<T> {
    return persist(this, attempt);
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
    };
  }

  /**
   * Whether the last write of the key is this one. Without a nonce its value says so, but only where
   * a try of ours was never answered: else somebody else has written the same.
   */
  #isMine(last: Stored, { nonce, payload, deletion }: Write, unanswered: number): boolean {
    if (last.nonce !== undefined) return isSame(last.nonce, nonce);
    if (this.frame_bytes > 0 || unanswered === 0 || last.deleted !== deletion) return false;
    return last.value !== undefined && isSame(last.value, payload);
  }

  async #publish(
    { storedKey, nonce, payload, deletion, expected }: Write,
    timeout: number,
  ): Promise<number> {
    const found = headers();
    if (deletion) {
      found.set(OPERATION, "DEL");
      found.set("Nats-TTL", MARKER_TTL);
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
   * Asks the server whether it remembers the id of a write (for two minutes it does) and at which
   * sequence. The question is a publish that cannot succeed: no last message has such an id.
   */
  async #recall(
    storedKey: string,
    nonce: Uint8Array,
    timeout: number,
  ): Promise<number | undefined> {
    try {
      const ack = await this.#js.publish(this.subject(storedKey), nonce, {
        msgID: nonce.toHex(),
        expect: { lastMsgID: "none has this id" },
        timeout,
      });
      return ack.duplicate ? ack.seq : undefined;
    } catch (error) {
      if (apiCode(error) === WRONG_LAST_MESSAGE_ID) return undefined;
      throw error;
    }
  }

  #config(): Partial<StreamConfig> & { name: string } {
    const clustered = this.link.connection.info?.cluster !== undefined;
    return {
      name: this.stream,
      subjects: [this.subject(">")],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      max_msgs_per_subject: 1,
      allow_rollup_hdrs: true,
      deny_delete: true,
      // Reads from a replica could be older than a write that was acknowledged.
      allow_direct: false,
      allow_msg_ttl: true,
      num_replicas: clustered ? 3 : 1,
      duplicate_window: nanos(120_000),
    };
  }
}
