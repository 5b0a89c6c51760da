/**
 * The NATS engine's buckets, object stores and stores of blocks, each opened once and bounded. The caller
 * checks names and the connection.
 */
import { BANS_BUCKET } from "../../../records/bans.ts";
import { REDUCER_OBJECTS } from "../../../records/reducer_record.ts";
import { PROOF_BUCKET } from "../../../proof/entry.ts";
import { ROOMS_BUCKET } from "../../../records/room_update.ts";
import { BLOCK_STREAMS } from "../../contract/block_store.ts";
import type { BlockRetention, BlockStore, BlockStoreName } from "../../contract/block_store.ts";
import { Bucket, RELIED } from "./nats_bucket.ts";
import type { NatsConfig } from "../connection/nats_connect.ts";
import { NatsKv } from "./nats_kv.ts";
import { KEPT_RELIED, NatsBlocks } from "./nats_blocks.ts";
import type { GuardedStreams } from "./nats_guarded.ts";
import { logError, persist, type Persistent } from "../connection/nats_errors.ts";
import { type Link, START_MS } from "../connection/nats_link.ts";
import { fromStored, LogApi } from "../log/nats_log_api.ts";
import type { Inbox } from "../log/nats_log_inbox.ts";
import { LOGS_BUCKET } from "../log/nats_log_stream.ts";
import { boundStream, makeShared, NatsStorage } from "../log/nats_storage.ts";
import type {
  KeyValue,
  KeyValueOptions,
  ObjectStore,
  StorageReport,
  StoredObject,
} from "../../contract/spine.ts";
import { createHash } from "node:crypto";
import { ArqonError } from "@arqon/proto";
import { jetstream } from "@nats-io/jetstream";
import { type ObjectInfo, type ObjectStore as NatsStore, Objm } from "@nats-io/obj";
import { assertObjectName, assertSize, OBJECT_BYTES_MAX } from "../../contract/check.ts";

/** The buckets that Brains write, whose room must be reserved before tenants' logs use it up. */
const CLAIMED = [ROOMS_BUCKET, BANS_BUCKET];

/** The engine's parts that the stores need. */
interface NatsStoresOptions {
  readonly link: Link;
  readonly inbox: Inbox;
  readonly guarded: GuardedStreams;
  readonly config: Pick<
    NatsConfig,
    "control_bytes" | "reducer_bytes" | "proof_bytes" | "storage_bytes"
  >;
}

/** All stores of one connection. */
export class NatsStores {
  readonly storage: NatsStorage;
  readonly #options: NatsStoresOptions;
  readonly #buckets = new Map<string, Promise<NatsKv>>();
  #claimed: Promise<void> | undefined;

  constructor(options: NatsStoresOptions) {
    const { link, config } = options;
    const { control_bytes, reducer_bytes, proof_bytes, storage_bytes } = config;
    this.#options = options;
    const anchor = () => this.#anchor();
    const own_bytes = { [REDUCER_OBJECTS]: reducer_bytes, [PROOF_BUCKET]: proof_bytes };
    this.storage = new NatsStorage({ link, control_bytes, own_bytes, storage_bytes, anchor });
  }

  /** As `Spine.keyValue`. */
  async keyValue(name: string, options: KeyValueOptions = {}): Promise<KeyValue> {
    const { plain, leaves_stream, unwatched } = options;
    const view = JSON.stringify([name, plain, leaves_stream, unwatched]);
    const opening = this.#buckets.getOrInsertComputed(view, () => this.#open(name, options));
    try {
      return await opening;
    } catch (error) {
      this.#buckets.delete(view);
      throw error;
    }
  }

  async #open(name: string, options: KeyValueOptions): Promise<NatsKv> {
    const { link, guarded } = this.#options;
    const bucket = new Bucket(link, this.storage, name, options);
    await bucket.persist(() => bucket.ensure(), START_MS);
    const { stream, relied } = bucket;
    // Otherwise another process configures it.
    if (options.leaves_stream !== true) guarded.guard(stream, { relied: () => relied });
    return new NatsKv(bucket);
  }

  /** As `Spine.objects`. */
  async objects(bucket: string): Promise<ObjectStore> {
    const store = new NatsObjects(this.#options.link, bucket, this.storage);
    await persist(store, () => store.ensure(), START_MS);
    this.#options.guarded.guard(`OBJ_${bucket}`, { relied: () => OBJECTS_RELIED });
    return store;
  }

  /** As `Spine.blocks`. */
  async blocks(name: BlockStoreName, retention: BlockRetention): Promise<BlockStore> {
    this.#options.guarded.guard(BLOCK_STREAMS[name], { relied: () => KEPT_RELIED });
    const opened = new NatsBlocks({ ...this.#options, storage: this.storage }, name, retention);
    // Its storage is reserved before tenants' logs use that up.
    if (name === "audit") await opened.open(START_MS);
    return opened;
  }

  /** As `Spine.storage`. */
  async report(): Promise<StorageReport> {
    const { link } = this.#options;
    try {
      return await link.guard(this.storage.report());
    } catch (error) {
      throw logError(link, error);
    }
  }

  /**
   * Reserves the room of the Brains' buckets, even if a Shield starts first. Without permission or room it only logs
   * that.
   */
  claim(): Promise<void> {
    return this.#claimed ??= this.#claim();
  }

  async #claim(): Promise<void> {
    for (const bucket of CLAIMED) {
      await this.keyValue(bucket, { leaves_stream: true }).catch((error: unknown) => {
        this.#claimed = undefined;
        this.storage.log.warn("the room for a bucket could not be reserved", { bucket, error });
      });
    }
  }

  /** Ends every watch. */
  async close(): Promise<void> {
    for (const outcome of await Promise.allSettled(this.#buckets.values())) {
      if (outcome.status === "fulfilled") outcome.value.close();
    }
  }

  /** Creates the smallest bucket's stream if missing; resolves with its subjects. */
  async #anchor(): Promise<string> {
    const bucket = new Bucket(this.#options.link, this.storage, LOGS_BUCKET, {});
    await bucket.claim();
    return bucket.subject(">");
  }
}

/** The outcome of a read; a retry does not help against `corrupt`. */
type Found = { bytes: Uint8Array | undefined } | { corrupt: string };

/** As of a bucket; a read from a replica could miss an acknowledged write. */
const OBJECTS_RELIED = { ...RELIED, allow_direct: false };

const DIGEST = "SHA-256=";

/** True if the bytes have the stored digest: base64url, padded or not. */
function hasDigest(bytes: Uint8Array, digest: string): boolean {
  if (!digest.startsWith(DIGEST)) return false;
  const expected = digest.slice(DIGEST.length).replace(/=+$/, "");
  return createHash("sha256").update(bytes).digest("base64url") === expected;
}

class NatsObjects implements ObjectStore, Persistent {
  readonly link: Link;
  readonly what: string;
  readonly #bucket: string;
  readonly #stream: string;
  readonly #storage: NatsStorage;
  readonly #api: LogApi;
  readonly #timeout_ms: number;
  readonly #store: Promise<NatsStore>;

  constructor(link: Link, bucket: string, storage: NatsStorage) {
    this.link = link;
    this.#storage = storage;
    this.what = `object store ${bucket}`;
    this.#bucket = bucket;
    this.#stream = `OBJ_${bucket}`;
    this.#api = new LogApi(link);
    const timeout = this.#timeout_ms = Math.max(1, link.request_timeout_ms / 2);
    // `open` would ask the account before anything catches its error.
    const options = { timeout, checkAPI: false };
    this.#store = new Objm(jetstream(link.connection, options)).open(bucket, false);
  }

  async ensure(): Promise<void> {
    const found = await this.#api.find(this.#stream, this.#timeout_ms);
    if (found !== undefined) {
      await boundStream(this.#storage, this.#api, found, OBJECTS_RELIED, this.#timeout_ms);
      return;
    }
    const config = {
      name: this.#stream,
      subjects: [`$O.${this.#bucket}.C.>`, `$O.${this.#bucket}.M.>`],
      ...OBJECTS_RELIED,
      storage: "file",
      max_msgs_per_subject: -1,
      max_age: 0,
      allow_rollup_hdrs: true,
      num_replicas: this.link.replicas,
    };
    await makeShared(this.#storage, this.#api, config, this.#timeout_ms);
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    assertObjectName(name);
    assertSize(bytes.length, OBJECT_BYTES_MAX);
    // Chunks are sent over several turns, in which the caller may reuse its buffer.
    const copy = bytes.slice();
    await persist(this, async (timeout_ms) => {
      const store = await this.#store;
      await store.putBlob({ name }, copy, { timeout: timeout_ms });
    });
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    assertObjectName(name);
    const found = await persist(this, (timeout_ms) => this.#read(name, timeout_ms));
    if ("bytes" in found) return found.bytes;
    throw new ArqonError("internal", "", { cause: new Error(found.corrupt) });
  }

  async delete(name: string): Promise<void> {
    assertObjectName(name);
    await persist(this, async () => {
      const store = await this.#store;
      const info = await store.info(name);
      if (info !== null && !info.deleted) await store.delete(name);
    });
  }

  /** Lists the objects name by name with plain reads: the library's `list` leaves a consumer behind for minutes. */
  async list(): Promise<StoredObject[]> {
    const filter = `$O.${this.#bucket}.M.>`;
    const pages = await persist(
      this,
      (timeout_ms) => Array.fromAsync(this.#api.subjects(this.#stream, filter, timeout_ms)),
    );
    const found: StoredObject[] = [];
    for (const subject of pages.flat()) {
      const stored = await persist(
        this,
        (timeout_ms) => this.#api.message(this.#stream, subject, "newest", timeout_ms),
      );
      if (stored === undefined) continue;
      const { payload, time_ms: modified_ms } = fromStored(stored);
      const info: Partial<ObjectInfo> = JSON.parse(new TextDecoder().decode(payload));
      const { name, size: size_bytes = 0, deleted } = info;
      if (name !== undefined && deleted !== true) found.push({ name, size_bytes, modified_ms });
    }
    return found;
  }

  /**
   * Reads an object chunk by chunk with plain reads: the library's `get` leaves a consumer behind for minutes, and
   * never resolves if the object is replaced meanwhile.
   */
  async #read(name: string, timeout_ms: number): Promise<Found> {
    const info = await (await this.#store).info(name);
    if (info === null || info.deleted) return { bytes: undefined };
    const { size, chunks, nuid, digest } = info;
    const what = `${this.what}: ${JSON.stringify(name)}`;
    if (!(size <= OBJECT_BYTES_MAX)) return { corrupt: `${what} says it has ${size} bytes` };
    const bytes = new Uint8Array(size);
    let filled = 0;
    let seq = 1;
    for (let chunk = 0; chunk < chunks && filled < size; chunk++) {
      const place = { seq, next_by_subj: `$O.${this.#bucket}.C.${nuid}` };
      const stored = await this.#api.messageAt(this.#stream, place, timeout_ms);
      // It was probably replaced meanwhile: the next attempt reads the new object.
      if (stored === undefined) throw new Error(`${what} lacks a chunk`);
      const { payload } = fromStored(stored);
      if (filled + payload.length > size) return { corrupt: `${what} is longer than it says` };
      bytes.set(payload, filled);
      filled += payload.length;
      seq = stored.seq + 1;
    }
    if (filled === size && hasDigest(bytes, digest)) return { bytes };
    return { corrupt: `${what} does not match its digest` };
  }
}
