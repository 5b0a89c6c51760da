/** Key-value buckets of the embedded engine, with their watches; the rows are in `embedded_store.ts`. */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../env.ts";
import { assertSize } from "../contract/check.ts";
import { conflictAt } from "../contract/compare_and_set.ts";
import type { KvStore } from "./embedded_store.ts";
import { ENCODED_KEYS, isBelow, type KeyForm, PLAIN_KEYS } from "../contract/kv_key.ts";
import type {
  KeyValue,
  KvChange,
  KvEntry,
  KvKey,
  KvSize,
  KvUpdate,
  KvWatch,
  WatchOptions,
} from "../contract/spine.ts";
import type { JobQueue } from "../contract/job_queue.ts";
import { awaitedLater } from "../../awaited_later.ts";

interface Watcher {
  readonly keys: KeyForm;
  readonly prefix: string;
  readonly tokens_max: number;
  readonly onChange: (change: KvChange) => void;
  readonly abort: (error: ArqonError) => void;
  stopped: boolean;
}

/** What both views of a bucket share. */
interface Shared {
  readonly watchers: Set<Watcher>;
  /** Revision of the newest deletion of any key: none is known to have been deleted later. 0: none since the start. */
  deleted: number;
}

/** The engine's parts that the buckets need. */
interface EmbeddedBucketsOptions extends Pick<Env, "log"> {
  readonly store: KvStore;
  readonly turns: JobQueue;
  readonly value_bytes_max: number;
}

/** The open buckets of an engine. */
export class EmbeddedBuckets {
  readonly #options: EmbeddedBucketsOptions;
  readonly #shared = new Map<string, Shared>();

  constructor(options: EmbeddedBucketsOptions) {
    this.#options = options;
  }

  open(bucket: string, plain: boolean): KeyValue {
    const none = () => ({ watchers: new Set<Watcher>(), deleted: 0 });
    const shared = this.#shared.getOrInsertComputed(bucket, none);
    return new EmbeddedKv(this.#options, bucket, plain ? PLAIN_KEYS : ENCODED_KEYS, shared);
  }

  /** Ends every watch; those still waiting for `ready` get `error`. */
  close(error: ArqonError): void {
    for (const { watchers } of this.#shared.values()) {
      for (const watcher of watchers) {
        watcher.stopped = true;
        watcher.abort(error);
      }
      watchers.clear();
    }
  }
}

/** One bucket of the embedded engine, through one view. */
class EmbeddedKv implements KeyValue {
  readonly #options: EmbeddedBucketsOptions;
  readonly #store: KvStore;
  readonly #bucket: string;
  readonly #keys: KeyForm;
  readonly #shared: Shared;
  readonly limit_bytes = undefined;

  constructor(options: EmbeddedBucketsOptions, bucket: string, keys: KeyForm, shared: Shared) {
    this.#options = options;
    this.#store = options.store;
    this.#bucket = bucket;
    this.#keys = keys;
    this.#shared = shared;
  }

  async get(key: KvKey): Promise<KvEntry | undefined> {
    const stored = this.#store.get(this.#bucket, this.#keys.encode(key));
    await this.#options.turns.rest();
    return stored && { ...stored, key: [...key] };
  }

  async put(key: KvKey, value: Uint8Array): Promise<number> {
    const revision = this.#put([{ key: this.#keys.encode(key), value }]);
    await this.#options.turns.rest();
    return revision;
  }

  async update(key: KvKey, value: Uint8Array, expected_revision: number): Promise<number> {
    const [revision = 0] = await this.updateAll([{ key, value, expected_revision }]);
    return revision;
  }

  async updateAll(updates: readonly KvUpdate[]): Promise<number[]> {
    const entries = updates.map(({ key, value, expected_revision }) => {
      const stored = this.#keys.encode(key);
      this.#assertRevision(key, stored, expected_revision);
      return { key: stored, value };
    });
    const first = this.#put(entries) - entries.length + 1;
    await this.#options.turns.rest();
    return entries.map((_, at) => first + at);
  }

  async last(key: KvKey): Promise<KvChange | undefined> {
    const entry = await this.get(key);
    if (entry !== undefined) return { type: "put", ...entry };
    const { deleted: revision } = this.#shared;
    return revision === 0 ? undefined : { type: "delete", key: [...key], revision };
  }

  async replace(key: KvKey, value: Uint8Array, last: KvChange | undefined): Promise<number> {
    if (last?.type === "put") return await this.update(key, value, last.revision);
    if (this.#shared.deleted !== (last?.revision ?? 0)) throw conflictAt(key, 0);
    return await this.update(key, value, 0);
  }

  async delete(key: KvKey, expected_revision?: number): Promise<void> {
    const stored = this.#keys.encode(key);
    if (expected_revision !== undefined) this.#assertRevision(key, stored, expected_revision);
    if (this.#store.revision(this.#bucket, stored) === 0) return;
    const revision = this.#shared.deleted = this.#store.remove(this.#bucket, stored);
    for (const [watcher, key] of this.#watchersOf(stored)) {
      this.#deliver(watcher, { type: "delete", key: [...key], revision });
    }
    await this.#options.turns.rest();
  }

  async keys(prefix: KvKey = []): Promise<KvKey[]> {
    const stored = this.#store.keys(this.#bucket, this.#keys.prefix(prefix));
    await this.#options.turns.rest();
    return stored.map(this.#keys.decode).filter((key) => key !== undefined);
  }

  async sizes(prefix: KvKey = []): Promise<KvSize[]> {
    const stored = this.#store.sizes(this.#bucket, this.#keys.prefix(prefix));
    await this.#options.turns.rest();
    return stored.flatMap(({ key: text, size_bytes }) => {
      const key = this.#keys.decode(text);
      return key === undefined ? [] : [{ key, size_bytes }];
    });
  }

  watch(prefix: KvKey, onChange: (change: KvChange) => void, options: WatchOptions = {}): KvWatch {
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    awaitedLater(ready);
    const watcher: Watcher = {
      keys: this.#keys,
      prefix: this.#keys.prefix(prefix),
      tokens_max: prefix.length + (options.depth ?? Infinity),
      onChange,
      abort: reject,
      stopped: false,
    };
    for (const entry of this.#present(watcher)) this.#deliver(watcher, { type: "put", ...entry });
    this.#shared.watchers.add(watcher);
    this.#options.turns.push({ run: () => void (watcher.stopped || resolve()) });
    const stop = () => {
      watcher.stopped = true;
      this.#shared.watchers.delete(watcher);
      reject(new ArqonError("spine-unavailable", "the watch was stopped"));
    };
    return { ready, stop };
  }

  #assertRevision(key: KvKey, stored: string, expected_revision: number): void {
    const revision = this.#store.revision(this.#bucket, stored);
    if (revision !== expected_revision) throw conflictAt(key, revision);
  }

  /** Stores the values; returns the revision of the last one. */
  #put(entries: readonly { readonly key: string; readonly value: Uint8Array }[]): number {
    for (const { value } of entries) assertSize(value.length, this.#options.value_bytes_max);
    const last = this.#store.put(this.#bucket, entries);
    let revision = last - entries.length;
    for (const { key: stored, value } of entries) {
      revision++;
      for (const [watcher, key] of this.#watchersOf(stored)) {
        // Each watcher gets its own copy, as if it had come over the network.
        this.#deliver(watcher, { type: "put", key: [...key], value: value.slice(), revision });
      }
    }
    return last;
  }

  /** The initial entries for a watcher. Values below its depth are not read: there may be many. */
  *#present({ prefix, tokens_max }: Watcher): Iterable<KvEntry> {
    for (const stored of this.#store.keys(this.#bucket, prefix)) {
      const key = this.#keys.decode(stored);
      if (key === undefined || key.length > tokens_max) continue;
      const entry = this.#store.get(this.#bucket, stored);
      if (entry !== undefined) yield { ...entry, key };
    }
  }

  #watchersOf(stored: string): [Watcher, KvKey][] {
    return [...this.#shared.watchers].flatMap((watcher): [Watcher, KvKey][] => {
      if (!isBelow(stored, watcher.prefix)) return [];
      const key = watcher.keys.decode(stored);
      return key === undefined || key.length > watcher.tokens_max ? [] : [[watcher, key]];
    });
  }

  #deliver(watcher: Watcher, change: KvChange): void {
    const run = () => {
      if (watcher.stopped) return;
      try {
        watcher.onChange(change);
      } catch (error) {
        this.#options.log.error("a key-value watcher threw", { bucket: this.#bucket, error });
      }
    };
    this.#options.turns.push({ run });
  }
}
