/**
 * The stored record of a stream beside its messages: its configuration, whether it is closed, its producers' progress,
 * and its forks. `lifecycle.ts` ends streams.
 */
import { z } from "zod";
import { readStored } from "../../shared/records/stored.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import { BucketShares } from "../../shared/spine/bucket_shares.ts";
import { STREAMS_BUCKET } from "../../shared/records/buckets.ts";
import type { KvKey, KvWatch, Spine } from "../../shared/spine/contract/spine.ts";
import { openOnce } from "../../shared/turns/once.ts";

/** The most producers of a stream that are remembered. */
const PRODUCERS_MAX = 256;
/** A producer that was idle for this long, in ms, is dropped if another one needs its place. */
const PRODUCER_IDLE_MS = 7 * 86_400_000;
/** The most forks of one stream. */
export const FORKS_MAX = 1_000;

const Offset = z.int().min(0);

const Producer = z.object({
  epoch: Offset,
  seq: Offset,
  /** Unix ms of its last append. */
  at_ms: z.number(),
  /** The last append, which may be incomplete: its messages come after this offset. */
  open: z.object({ after: Offset, count: Offset }),
});

const Tuple = z.object({ id: z.string(), epoch: Offset, seq: Offset });

const Stored = z.object({
  /** The id of this stream from its creation to its end; a later stream of the same room has another id. */
  id: z.string(),
  content_type: z.string(),
  /** Unix ms; while `creating`, only its creator sees it. */
  created_ms: z.number(),
  creating: z.boolean().optional(),
  /** Its own messages are those of the room above this offset. */
  begin: Offset,
  ttl_seconds: Offset.optional(),
  expires_at: z.string().optional(),
  /** The last read or write, if there is a `ttl_seconds`: Unix ms by the clock of the log. */
  touched_ms: z.number(),
  /** Closed: nothing after `end` belongs to it. Without `end` the closing is running. */
  closed: z.object({ end: Offset.optional(), by: Tuple.optional() }).optional(),
  /** The last `Stream-Seq`. */
  seq: z.string().optional(),
  /** Its part of another stream: everything up to `offset`. */
  fork: z.object({
    room: z.string(),
    id: z.string(),
    offset: Offset,
    /** The requested fork point: `offset` as a token, "" for none. */
    asked: z.string(),
    sub: Offset,
  }).optional(),
  forks: z.array(z.string()),
  /** The stream is deleted, and kept for its forks. */
  gone: z.boolean().optional(),
  producers: z.record(z.string(), Producer),
});

/** The record of one stream. */
export type StreamRecord = z.infer<typeof Stored>;
/** The progress of one producer. */
export type ProducerState = z.infer<typeof Producer>;
/** One append of a producer. */
export type ProducerTuple = z.infer<typeof Tuple>;

/** The stored form. */
export function encodeRecord(record: StreamRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record));
}

/** Undefined for bytes not written by `encodeRecord`. Throws `incompatible-version`. */
export const decodeRecord = (value: Uint8Array): StreamRecord | undefined =>
  readStored(value, Stored, "stream");

/** How long the stream exists, or exists without a use, in ms; undefined: for ever. */
export function lifetimeOf({ ttl_seconds, expires_at, created_ms }: StreamRecord) {
  if (ttl_seconds !== undefined) return ttl_seconds * 1_000;
  return expires_at === undefined ? undefined : Date.parse(expires_at) - created_ms;
}

/** Whether the stream has expired. `now_ms` is Unix ms by the clock of the log. */
export function isExpired(record: StreamRecord, now_ms: number): boolean {
  const { ttl_seconds, touched_ms, expires_at } = record;
  if (expires_at !== undefined && now_ms >= Date.parse(expires_at)) return true;
  return ttl_seconds !== undefined && now_ms >= touched_ms + ttl_seconds * 1_000;
}

/** The expiry of a fork without one of its own: the source's. */
export function forkExpiry(
  wanted: Pick<StreamRecord, "ttl_seconds" | "expires_at">,
  source: Pick<StreamRecord, "ttl_seconds" | "expires_at">,
): Pick<StreamRecord, "ttl_seconds" | "expires_at"> {
  if (wanted.ttl_seconds !== undefined || wanted.expires_at !== undefined) return expiryOf(wanted);
  return expiryOf(source);
}

function expiryOf({ ttl_seconds, expires_at }: Pick<StreamRecord, "ttl_seconds" | "expires_at">) {
  if (ttl_seconds !== undefined) return { ttl_seconds };
  return expires_at === undefined ? {} : { expires_at };
}

/** The verdict on one append of a producer. */
type Sequenced =
  | { readonly kind: "accepted" }
  /** Everything up to `seq` was accepted before. `is_last`: `seq` is the last accepted one. */
  | { readonly kind: "duplicate"; readonly seq: number; readonly is_last: boolean }
  | { readonly kind: "stale"; readonly epoch: number }
  | { readonly kind: "epoch-sequence" }
  | { readonly kind: "gap"; readonly expected: number };

/** Judges an append by the known state of its producer; undefined: none. */
export function sequence(state: ProducerState | undefined, tuple: ProducerTuple): Sequenced {
  const { epoch, seq } = tuple;
  if (state === undefined) return seq === 0 ? { kind: "accepted" } : { kind: "gap", expected: 0 };
  if (epoch < state.epoch) return { kind: "stale", epoch: state.epoch };
  if (epoch > state.epoch) return seq === 0 ? { kind: "accepted" } : { kind: "epoch-sequence" };
  if (seq <= state.seq) return { kind: "duplicate", seq: state.seq, is_last: seq === state.seq };
  return seq === state.seq + 1 ? { kind: "accepted" } : { kind: "gap", expected: state.seq + 1 };
}

/**
 * The producers with the new state of one; undefined when there is no place for it. Producers that were idle for long
 * are dropped. `now_ms` is Unix ms.
 */
export function withProducer(
  producers: StreamRecord["producers"],
  id: string,
  state: ProducerState,
  now_ms: number,
): StreamRecord["producers"] | undefined {
  const next = { ...producers, [id]: state };
  if (Object.keys(next).length <= PRODUCERS_MAX) return next;
  const busy = Object.entries(next).filter(([, { at_ms }]) => now_ms - at_ms < PRODUCER_IDLE_MS);
  return busy.length <= PRODUCERS_MAX ? Object.fromEntries(busy) : undefined;
}

/** Whether two appends of producers are the same. */
export function isSameTuple(one: ProducerTuple | undefined, other: ProducerTuple | undefined) {
  if (one === undefined || other === undefined) return false;
  return one.id === other.id && one.epoch === other.epoch && one.seq === other.seq;
}

// The records in their key-value bucket, by compare-and-set.

/** The key of a stream: the room of a tenant. */
export interface StreamKey {
  readonly tenant_id: string;
  readonly room_id: string;
}

/** A record with its revision. */
export interface Found {
  readonly record: StreamRecord;
  readonly revision: number;
}

const keyOf = ({ tenant_id, room_id }: StreamKey): KvKey => [tenant_id, room_id];

/** The records in the process's Spine. Everything rejects with `spine-unavailable` while the Spine is down. */
export class Records {
  readonly #spine: Pick<Spine, "keyValue">;
  readonly #open = openOnce(() => this.#spine.keyValue(STREAMS_BUCKET));
  readonly #shares: BucketShares;

  constructor(spine: Pick<Spine, "keyValue">, monotonic_ms = () => performance.now()) {
    this.#spine = spine;
    this.#shares = new BucketShares(monotonic_ms);
  }

  /** Counts so many bytes more of a tenant's records, if its share of the bucket has room for them. */
  async hasRoom(tenant_id: string, size_bytes: number): Promise<boolean> {
    return await this.#shares.take(await this.#open(), tenant_id, size_bytes);
  }

  /** The record; undefined when there is none. */
  async get(key: StreamKey): Promise<Found | undefined> {
    const entry = await (await this.#open()).get(keyOf(key));
    const record = entry && decodeRecord(entry.value);
    return entry && record && { record, revision: entry.revision };
  }

  /** Writes a record over the one of that revision (0: none); undefined if another process was faster. */
  async put(key: StreamKey, record: StreamRecord, revision: number): Promise<Found | undefined> {
    const bucket = await this.#open();
    try {
      return { record, revision: await bucket.update(keyOf(key), encodeRecord(record), revision) };
    } catch (error) {
      if (isConflict(error)) return undefined;
      throw error;
    }
  }

  /** Deletes the record of that revision; false if another process was faster. */
  async delete(key: StreamKey, revision: number): Promise<boolean> {
    const bucket = await this.#open();
    try {
      await bucket.delete(keyOf(key), revision);
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  /** The rooms of a tenant that are streams, unordered. */
  async roomsOf(tenant_id: string): Promise<string[]> {
    const keys = await (await this.#open()).keys([tenant_id]);
    return keys.map(([, room_id = ""]) => room_id);
  }

  /** Calls `onChange` for every change of one record until the watch is stopped. */
  async watch(key: StreamKey, onChange: () => void): Promise<KvWatch> {
    return (await this.#open()).watch(keyOf(key), onChange);
  }
}
