/**
 * The NATS engine's buckets, object stores, ledgers and stores of blocks, each opened once and bounded. The caller
 * checks names and the connection.
 */
import { BANS_BUCKET } from "../../../records/bans.ts";
import { REDUCER_OBJECTS } from "../../../records/reducer_record.ts";
import { PROOF_BUCKET } from "../../../proof/entry.ts";
import { ROOMS_BUCKET } from "../../../records/room_update.ts";
import { BLOCK_STREAMS } from "../../contract/block_store.ts";
import type { BlockRetention, BlockStore, BlockStoreName } from "../../contract/block_store.ts";
import type { Ledger, LedgerRetention } from "../../contract/ledger.ts";
import { Bucket, RELIED, setAgain } from "./nats_bucket.ts";
import type { NatsConfig } from "../connection/nats_connect.ts";
import { type NatsKv, openNatsKv } from "./nats_kv.ts";
import { NatsBlocks } from "./nats_blocks.ts";
import { KEPT_RELIED, openNatsLedger } from "./nats_kept_stream.ts";
import type { GuardedStreams } from "./nats_guarded.ts";
import { isStreamMissing, persist, START_MS } from "../connection/nats_link.ts";
import type { Link, Persistent } from "../connection/nats_link.ts";
import { logError } from "../log/nats_log_api.ts";
import type { Inbox } from "../log/nats_log_inbox.ts";
import { LOGS_BUCKET } from "../log/nats_log_stream.ts";
import { boundStream, makeBounded, NatsStorage } from "../log/nats_storage.ts";
import type {
  KeyValue,
  KeyValueOptions,
  ObjectStore,
  StorageReport,
  StoredObject,
} from "../../contract/spine.ts";
import { createHash } from "node:crypto";
import { ArqonError } from "@arqon/proto";
import { jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
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

  async keyValue(
    bucket: string,
    { plain = false, leaves_stream = false, unwatched = false }: KeyValueOptions = {},
  ): Promise<KeyValue> {
    const { link, guarded } = this.#options;
    const view = `${bucket} ${plain} ${leaves_stream} ${unwatched}`;
    const { storage } = this;
    const opening = this.#buckets.get(view) ??
      openNatsKv(link, bucket, { storage, plain, leaves_stream, unwatched });
    this.#buckets.set(view, opening);
    try {
      const opened = await opening;
      // Another process configures it.
      if (!leaves_stream) guarded.guard(...opened.guarded);
      return opened;
    } catch (error) {
      this.#buckets.delete(view);
      throw error;
    }
  }

  /** As `Spine.objects`. */
  async objects(bucket: string): Promise<ObjectStore> {
    const opened = await openNatsObjects(this.#options.link, bucket, this.storage);
    this.#options.guarded.guard(`OBJ_${bucket}`, { relied: () => OBJECTS_RELIED });
    return opened;
  }

  /** As `Spine.ledger`. */
  async ledger(name: string, retention: LedgerRetention): Promise<Ledger> {
    const options = { ...this.#options, storage: this.storage };
    const opened = await openNatsLedger(options, name, retention);
    this.#options.guarded.guard(name, { relied: () => KEPT_RELIED });
    return opened;
  }

  /** As `Spine.blocks`. */
  blocks(name: BlockStoreName, retention: BlockRetention): BlockStore {
    this.#options.guarded.guard(BLOCK_STREAMS[name], { relied: () => KEPT_RELIED });
    return new NatsBlocks({ ...this.#options, storage: this.storage }, name, retention);
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
    const options = { plain: false, storage: this.storage, leaves_stream: true };
    const bucket = new Bucket(this.#options.link, LOGS_BUCKET, options);
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
  readonly #storage: NatsStorage;
  readonly #js: JetStreamClient;
  readonly #manager: Promise<JetStreamManager>;
  readonly #store: Promise<NatsStore>;

  constructor(link: Link, bucket: string, storage: NatsStorage) {
    this.link = link;
    this.#storage = storage;
    this.what = `object store ${bucket}`;
    this.#bucket = bucket;
    const options = { timeout: Math.max(1, link.request_timeout_ms / 2), checkAPI: false };
    this.#js = jetstream(link.connection, options);
    this.#manager = jetstreamManager(link.connection, options);
    this.#store = new Objm(this.#js).open(bucket, false);
  }

  async ensure(): Promise<void> {
    const { streams } = await this.#manager;
    const name = `OBJ_${this.#bucket}`;
    const found = await streams.info(name).catch((error: unknown) => {
      if (isStreamMissing(error)) return undefined;
      throw error;
    });
    if (found === undefined) {
      return await makeBounded(this.#storage, streams, {
        name,
        subjects: [`$O.${this.#bucket}.C.>`, `$O.${this.#bucket}.M.>`],
        ...OBJECTS_RELIED,
        storage: StorageType.File,
        allow_rollup_hdrs: true,
        num_replicas: this.link.replicas,
      });
    }
    await boundStream(this.#storage, streams, found);
    await setAgain(this.link, streams, found.config, OBJECTS_RELIED);
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
    const found = await persist(this, () => this.#read(name));
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
    const { streams } = await this.#manager;
    const stream = `OBJ_${this.#bucket}`;
    const subjects_filter = `$O.${this.#bucket}.M.>`;
    const { state } = await persist(this, () => streams.info(stream, { subjects_filter }));
    const found: StoredObject[] = [];
    for (const last_by_subj of Object.keys(state.subjects ?? {})) {
      const message = await persist(this, () => streams.getMessage(stream, { last_by_subj }));
      const { name, size, deleted } = message?.json<Partial<ObjectInfo>>() ?? {};
      if (message === null || name === undefined || deleted === true) continue;
      found.push({ name, size_bytes: size ?? 0, modified_ms: message.time.getTime() });
    }
    return found;
  }

  /**
   * Reads an object chunk by chunk with plain reads: the library's `get` leaves a consumer behind for minutes, and
   * never resolves if the object is replaced meanwhile.
   */
  async #read(name: string): Promise<Found> {
    const { streams } = await this.#manager;
    const info = await (await this.#store).info(name);
    if (info === null || info.deleted) return { bytes: undefined };
    const { size, chunks, nuid, digest } = info;
    const what = `${this.what}: ${JSON.stringify(name)}`;
    if (!(size <= OBJECT_BYTES_MAX)) return { corrupt: `${what} says it has ${size} bytes` };
    const bytes = new Uint8Array(size);
    let filled = 0;
    let seq = 1;
    for (let chunk = 0; chunk < chunks && filled < size; chunk++) {
      const query = { seq, next_by_subj: `$O.${this.#bucket}.C.${nuid}` };
      const message = await streams.getMessage(`OBJ_${this.#bucket}`, query);
      // It was probably replaced meanwhile: the next attempt reads the new object.
      if (message === null) throw new Error(`${what} lacks a chunk`);
      if (filled + message.data.length > size) return { corrupt: `${what} is longer than it says` };
      bytes.set(message.data, filled);
      filled += message.data.length;
      seq = message.seq + 1;
    }
    if (filled === size && hasDigest(bytes, digest)) return { bytes };
    return { corrupt: `${what} does not match its digest` };
  }
}

/** Opens the store; creates it if missing. Rejects with `spine-unavailable`. */
async function openNatsObjects(
  link: Link,
  bucket: string,
  storage: NatsStorage,
): Promise<ObjectStore> {
  const store = new NatsObjects(link, bucket, storage);
  await persist(store, () => store.ensure(), START_MS);
  return store;
}
