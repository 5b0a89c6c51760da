// deno-lint-ignore-file require-await -- every method answers with a promise, also when it throws
/** Key-value buckets of the embedded engine, with their watches; the rows are in `embedded_store.ts`. */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../env.ts";
import { assertSize } from "../contract/check.ts";
import type { KvStore } from "./embedded_store.ts";
import { ENCODED_KEYS, isBelow, PLAIN_KEYS } from "../contract/kv_key.ts";
import type { KeyForm } from "../contract/kv_key.ts";
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

/** The watchers of one bucket, whichever view they use. */
type Watchers = Set<Watcher>;

/** The newest deletion of one bucket, of any key: no key is known to have been deleted later. */
interface NewestDeletion {
  /** Its revision; 0: none since the start. */
  revision: number;
}

/** The engine's parts that the buckets need. */
export interface EmbeddedBucketsOptions extends Pick<Env, "log"> {
  readonly store: KvStore;
  readonly turns: JobQueue;
  readonly value_bytes_max: number;
  /** Throws when the engine is not open. */
  readonly assertOpen: () => void;
}

interface EmbeddedKvOptions extends EmbeddedBucketsOptions {
  readonly bucket: string;
  readonly keys: KeyForm;
  readonly watchers: Watchers;
  readonly deletion: NewestDeletion;
}

/** The open buckets of an engine, each with its two views. */
export class EmbeddedBuckets {
  readonly #options: EmbeddedBucketsOptions;
  readonly #views = new Map<string, { plain: EmbeddedKv; encoded: EmbeddedKv }>();

  constructor(options: EmbeddedBucketsOptions) {
    this.#options = options;
  }

  open(bucket: string, plain: boolean): KeyValue {
    let views = this.#views.get(bucket);
    if (views === undefined) {
      const shared = { watchers: new Set<Watcher>(), deletion: { revision: 0 } };
      const options = { ...this.#options, bucket, ...shared };
      views = {
        plain: new EmbeddedKv({ ...options, keys: PLAIN_KEYS }),
        encoded: new EmbeddedKv({ ...options, keys: ENCODED_KEYS }),
      };
      this.#views.set(bucket, views);
    }
    return plain ? views.plain : views.encoded;
  }

  /** Ends every watch. */
  close(error: ArqonError): void {
    for (const { plain, encoded } of this.#views.values()) {
      for (const view of [plain, encoded]) view.close(error);
    }
  }
}

function conflict(key: KvKey, revision: number): ArqonError {
  return new ArqonError("version-conflict", `${revision} (${JSON.stringify(key)})`);
}

/** One bucket of the embedded engine, through one view. */
class EmbeddedKv implements KeyValue {
  readonly #options: EmbeddedKvOptions;
  readonly #keys: KeyForm;
  readonly #watchers: Watchers;

  constructor(options: EmbeddedKvOptions) {
    this.#options = options;
    this.#keys = options.keys;
    this.#watchers = options.watchers;
  }

  async get(key: KvKey): Promise<KvEntry | undefined> {
    this.#options.assertOpen();
    const stored = this.#options.store.get(this.#options.bucket, this.#keys.encode(key));
    await this.#options.turns.rest();
    return stored === undefined ? undefined : { ...stored, key: [...key] };
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
    const { revision } = this.#options.deletion;
    return revision === 0 ? undefined : { type: "delete", key: [...key], revision };
  }

  async replace(key: KvKey, value: Uint8Array, last: KvChange | undefined): Promise<number> {
    if (last?.type === "put") return await this.update(key, value, last.revision);
    const { revision } = this.#options.deletion;
    if (revision !== (last?.revision ?? 0)) throw conflict(key, 0);
    return await this.update(key, value, 0);
  }

  async delete(key: KvKey, expected_revision?: number): Promise<void> {
    const stored = this.#keys.encode(key);
    if (expected_revision !== undefined) this.#assertRevision(key, stored, expected_revision);
    this.#options.assertOpen();
    const { store, bucket } = this.#options;
    if (store.get(bucket, stored) === undefined) return;
    const revision = store.remove(bucket, stored);
    this.#options.deletion.revision = revision;
    for (const [watcher, key] of this.#watchersOf(stored)) {
      this.#deliver(watcher, { type: "delete", key: [...key], revision });
    }
    await this.#options.turns.rest();
  }

  async keys(prefix: KvKey = []): Promise<KvKey[]> {
    this.#options.assertOpen();
    const stored = this.#options.store.keys(this.#options.bucket, this.#keys.prefix(prefix));
    await this.#options.turns.rest();
    return stored.map(this.#keys.decode).filter((key) => key !== undefined);
  }

  async sizes(prefix: KvKey = []): Promise<KvSize[]> {
    this.#options.assertOpen();
    const { store, bucket } = this.#options;
    return store.sizes(bucket, this.#keys.prefix(prefix)).flatMap(({ key: stored, size_bytes }) => {
      const key = this.#keys.decode(stored);
      return key === undefined ? [] : [{ key, size_bytes }];
    });
  }

  get limit_bytes(): undefined {
    return undefined;
  }

  watch(prefix: KvKey, onChange: (change: KvChange) => void, options: WatchOptions = {}): KvWatch {
    this.#options.assertOpen();
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
    this.#watchers.add(watcher);
    for (const entry of this.#present(watcher)) this.#deliver(watcher, { type: "put", ...entry });
    this.#options.turns.push({ run: () => void (watcher.stopped || resolve()) });
    const stop = () => {
      watcher.stopped = true;
      this.#watchers.delete(watcher);
      reject(new ArqonError("spine-unavailable", "the watch was stopped"));
    };
    return { ready, stop };
  }

  /** Ends every watch; those still waiting for `ready` get `error`. */
  close(error: ArqonError): void {
    for (const watcher of this.#watchers) {
      watcher.stopped = true;
      watcher.abort(error);
    }
    this.#watchers.clear();
  }

  #assertRevision(key: KvKey, stored: string, expected_revision: number): void {
    this.#options.assertOpen();
    const revision = this.#options.store.revision(this.#options.bucket, stored);
    if (revision !== expected_revision) throw conflict(key, revision);
  }

  /** Stores the values; returns the revision of the last one. */
  #put(entries: readonly { readonly key: string; readonly value: Uint8Array }[]): number {
    this.#options.assertOpen();
    for (const { value } of entries) assertSize(value.length, this.#options.value_bytes_max);
    const last = this.#options.store.put(this.#options.bucket, entries);
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
    const { store, bucket } = this.#options;
    for (const stored of store.keys(bucket, prefix)) {
      const key = this.#keys.decode(stored);
      const entry = key === undefined || key.length > tokens_max
        ? undefined
        : store.get(bucket, stored);
      if (key !== undefined && entry !== undefined) yield { ...entry, key };
    }
  }

  #watchersOf(stored: string): [Watcher, KvKey][] {
    return [...this.#watchers].flatMap((watcher): [Watcher, KvKey][] => {
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
        this.#options.log.error("a key-value watcher threw", {
          bucket: this.#options.bucket,
          error,
        });
      }
    };
    this.#options.turns.push({ run });
  }
}
