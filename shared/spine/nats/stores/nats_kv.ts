/** A key-value bucket on JetStream, in the terms of `spine.ts`; the stream itself is `nats_bucket.ts`. */
import { ArqonError } from "@arqon/proto";
import { assertSize } from "../../contract/check.ts";
import { Bucket, type BucketOptions, type Stored, type Written } from "./nats_bucket.ts";
import { type Link, START_MS } from "../connection/nats_link.ts";
import { type Listing, openListing } from "./nats_listing.ts";
import { NatsWatch } from "./nats_watch.ts";
import type {
  KeyValue,
  KvChange,
  KvEntry,
  KvKey,
  KvSize,
  KvUpdate,
  KvWatch,
  WatchOptions,
} from "../../contract/spine.ts";
import { awaitedLater } from "../../../awaited_later.ts";

/** Bytes of a write's headers. */
const HEADER_BYTES = 512;
/** Heartbeat interval while keys are listed, in ms: a caller waits for the whole list. */
const LIST_HEARTBEAT_MS = 1_000;
/** The most attempts to create a key while concurrent deletions interfere. */
const CREATE_ATTEMPTS = 8;

function conflict(key: KvKey, revision: number): ArqonError {
  return new ArqonError("version-conflict", `${revision} (${JSON.stringify(key)})`);
}

const liveRevision = (last: Stored | undefined): number =>
  last === undefined || last.deleted ? 0 : last.revision;

/** One bucket on JetStream. */
export class NatsKv implements KeyValue {
  readonly #bucket: Bucket;
  readonly #value_bytes_max: number;
  readonly #watches = new Set<NatsWatch>();

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
    this.#value_bytes_max = bucket.link.payload_bytes_max - HEADER_BYTES;
  }

  async get(key: KvKey): Promise<KvEntry | undefined> {
    const last = await this.last(key);
    if (last?.type !== "put") return undefined;
    const { type: _, ...entry } = last;
    return entry;
  }

  async last(key: KvKey): Promise<KvChange | undefined> {
    const last = await this.#bucket.read(this.#bucket.keys.encode(key));
    if (last === undefined) return undefined;
    const { revision } = last;
    if (last.deleted) return { type: "delete", key: [...key], revision };
    if (last.value === undefined) {
      const cause = new Error(`${this.#bucket.stream} holds what ArqonBus did not write`);
      throw new ArqonError("internal", "", { cause });
    }
    const { value, age_ms } = last;
    const age = age_ms === undefined ? {} : { age_ms };
    return { type: "put", key: [...key], value, revision, ...age };
  }

  readonly storeTime = (): Promise<number> => this.#bucket.persist(() => this.#bucket.time());

  put(key: KvKey, value: Uint8Array): Promise<number> {
    return this.#store(key, value, undefined);
  }

  async update(key: KvKey, value: Uint8Array, expected_revision: number): Promise<number> {
    let expected = expected_revision;
    for (let attempt = 1;; attempt++) {
      const written = await this.#write(key, value, expected);
      if ("revision" in written) return written.revision;
      const revision = liveRevision(written.conflict);
      // A deletion leaves a tombstone, whose sequence a new key has to expect.
      if (expected_revision !== 0 || revision !== 0 || attempt === CREATE_ATTEMPTS) {
        throw conflict(key, revision);
      }
      expected = written.conflict?.revision ?? 0;
    }
  }

  replace(key: KvKey, value: Uint8Array, last: KvChange | undefined): Promise<number> {
    return this.#store(key, value, last?.revision ?? 0);
  }

  async updateAll(updates: readonly KvUpdate[]): Promise<number[]> {
    const write = (one: KvUpdate) => this.update(one.key, one.value, one.expected_revision);
    const others = await Promise.all(updates.slice(0, -1).map(write));
    return [...others, ...await Promise.all(updates.slice(-1).map(write))];
  }

  async delete(key: KvKey, expected_revision?: number): Promise<void> {
    const stored = this.#bucket.keys.encode(key);
    const revision = liveRevision(await this.#bucket.read(stored));
    if (expected_revision !== undefined && revision !== expected_revision) {
      throw conflict(key, revision);
    }
    if (revision === 0) return;
    const written = await this.#bucket.write(stored, undefined, expected_revision);
    if ("conflict" in written) throw conflict(key, liveRevision(written.conflict));
  }

  async keys(prefix: KvKey = []): Promise<KvKey[]> {
    return (await this.sizes(prefix)).map(({ key }) => key);
  }

  sizes(prefix: KvKey = []): Promise<KvSize[]> {
    return this.#bucket.persist(() => this.#list(this.#bucket.keys.prefix(prefix)));
  }

  get limit_bytes(): number | undefined {
    return this.#bucket.limit_bytes;
  }

  watch(prefix: KvKey, onChange: (change: KvChange) => void, options: WatchOptions = {}): KvWatch {
    this.#bucket.link.assertConnected();
    const watch = new NatsWatch({
      bucket: this.#bucket,
      prefix: this.#bucket.keys.prefix(prefix),
      depth: options.depth,
      onChange,
      onStop: (stopped) => void this.#watches.delete(stopped),
    });
    this.#watches.add(watch);
    return watch;
  }

  close(): void {
    for (const watch of [...this.#watches]) watch.end(this.#bucket.link.unavailable());
  }

  /** One attempt to write a value. Rejects with `message-too-large`. */
  async #write(key: KvKey, value: Uint8Array, expected: number | undefined): Promise<Written> {
    const stored = this.#bucket.keys.encode(key);
    assertSize(value.length + this.#bucket.frame_bytes, this.#value_bytes_max);
    return await this.#bucket.write(stored, value, expected);
  }

  async #store(key: KvKey, value: Uint8Array, expected: number | undefined): Promise<number> {
    const written = await this.#write(key, value, expected);
    if ("revision" in written) return written.revision;
    throw conflict(key, liveRevision(written.conflict));
  }

  async #list(prefix: string): Promise<KvSize[]> {
    const found = new Map<string, number>();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    awaitedLater(promise);
    let listing: Listing | undefined;
    try {
      listing = await openListing({
        bucket: this.#bucket,
        prefix,
        headers_only: true,
        heartbeat_ms: LIST_HEARTBEAT_MS,
        onListed: ({ storedKey, deleted, size_bytes }) => {
          if (deleted) found.delete(storedKey);
          else found.set(storedKey, size_bytes);
        },
        onCaughtUp: resolve,
        onBroken: (why) => reject(new Error(why)),
      });
      await this.#bucket.link.guard(promise);
    } finally {
      listing?.stop();
    }
    return [...found].flatMap(([stored, size_bytes]) => {
      const key = this.#bucket.keys.decode(stored);
      return key === undefined ? [] : [{ key, size_bytes }];
    });
  }
}

/** Opens the bucket; creates it if missing. Rejects with `spine-unavailable`. */
export async function openNatsKv(
  link: Link,
  name: string,
  options: BucketOptions,
): Promise<NatsKv> {
  const bucket = new Bucket(link, name, options);
  await bucket.persist(() => bucket.ensure(), START_MS);
  return new NatsKv(bucket);
}
