/**
 * An object store on JetStream, on top of `@nats-io/obj`. It creates the stream itself: reads never come from a replica
 * that may lag, and on a cluster there are three replicas.
 */
import { createHash } from "node:crypto";
import { ArqonError } from "@arqon/proto";
import {
  DiscardPolicy,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import { type ObjectInfo, type ObjectStore as NatsStore, Objm } from "@nats-io/obj";
import { assertObjectName, assertSize, OBJECT_BYTES_MAX } from "../../contract/check.ts";
import { boundStream, makeBounded } from "./nats_bound.ts";
import { type Link, START_MS } from "../connection/nats_link.ts";
import { isStreamMissing, persist, type Persistent } from "../connection/nats_persist.ts";
import type { NatsStorage } from "../log/nats_storage.ts";
import type { ObjectStore, StoredObject } from "../../contract/spine.ts";

/** The outcome of a read; a retry does not help against `corrupt`. */
type Found = { bytes: Uint8Array | undefined } | { corrupt: string };

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
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        discard: DiscardPolicy.New,
        allow_rollup_hdrs: true,
        allow_direct: false,
        num_replicas: this.link.replicas,
      });
    }
    await boundStream(this.#storage, streams, found);
    if (found.config.allow_direct === true) await streams.update(name, { allow_direct: false });
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
export async function openNatsObjects(
  link: Link,
  bucket: string,
  storage: NatsStorage,
): Promise<ObjectStore> {
  const store = new NatsObjects(link, bucket, storage);
  await persist(store, () => store.ensure(), START_MS);
  return store;
}
