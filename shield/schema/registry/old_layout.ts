/**
 * Takes schemas over from the layout of earlier builds, where the bucket of current sets held the
 * histories and versions themselves, under keys in base64url and with nonces before the values. The old
 * entries stay for a day, for nodes of an earlier build that still run or come back, and are then
 * deleted. When to look is `adoption.ts`.
 */
import type { Logger } from "../../../shared/logs/log.ts";
import { ENCODED_KEYS } from "../../../shared/spine/contract/kv_key.ts";
import type { KeyValue, KvKey, Spine } from "../../../shared/spine/contract/spine.ts";
import { isSchemaId, SCHEMA_ID_RULE } from "../../../shared/schema/schema_id.ts";
import {
  decodeSchemaRecord,
  DEFAULT_COMPATIBILITY,
  latestOf,
  sha256Of,
  versionKey,
} from "./schema_record.ts";
import type { SchemaRecord, SchemaVersion } from "./schema_record.ts";
import { IncompatibleError, register, restore } from "./register.ts";
import type { SetWork } from "./set_work.ts";
import { versionsBucket } from "./store.ts";
import type { SchemaStore } from "./store.ts";

/** How long old entries stay after the first node has taken them over, in ms. */
export const OLD_KEPT_MS = 86_400_000;
/** The bytes before a value of the old layout on NATS; the embedded engine has none. */
const NONCE_BYTES = 16;
/** The form of an id. */
const OLD_ID = /^[A-Za-z0-9_.-]{1,128}$/;

const isGzip = (bytes: Uint8Array) => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** The value, read as without and as with a nonce before it. */
const readings = (value: Uint8Array) => [value, value.subarray(NONCE_BYTES)];

/** The history. A set that an earlier build found alone was version 1. */
function oldHead(value: Uint8Array): SchemaRecord | undefined {
  for (const reading of readings(value)) {
    const read = decodeSchemaRecord(reading);
    if ("head" in read) return read.head;
  }
  const bare = value.subarray(NONCE_BYTES);
  // A set without a nonce is not of the old layout.
  if (isGzip(value) || !isGzip(bare)) return undefined;
  const sha256 = sha256Of(bare);
  const only = { version: 1, sha256, size_bytes: bare.length, registered_ms: 0, by: "" };
  return { format: 1, compatibility: DEFAULT_COMPATIBILITY, versions: [only] };
}

/**
 * The schema that an entry of the bucket of current sets is about when the entry is of the old layout;
 * undefined for every other entry. `key` and `value` are as they are stored.
 */
export function oldSchemaId(key: string, value: Uint8Array): string | undefined {
  const tokens = ENCODED_KEYS.decode(key);
  const [schema_id = "", version = "", sha256 = ""] = tokens ?? [];
  if (!OLD_ID.test(schema_id)) return undefined;
  if (tokens?.length === 3) {
    return /^\d+$/.test(version) && /^[0-9a-f]{64}$/.test(sha256) ? schema_id : undefined;
  }
  return tokens?.length === 1 && oldHead(value) !== undefined ? schema_id : undefined;
}

/** The key of the old layout as the plain bucket has it. */
const oldKey = (...tokens: string[]): KvKey => ENCODED_KEYS.encode(tokens).split(".");

/** What taking over needs of the process. */
export interface OldLayoutOptions {
  /** The bucket of current sets, opened plain. */
  readonly sets: KeyValue;
  /** The bucket of histories. */
  readonly versions: KeyValue;
  readonly store: SchemaStore;
  readonly work: SetWork;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  readonly versions_max: number;
}

/** The key of the time when old entries were first seen. It is no schema id, so it has no history. */
const FIRST_SEEN = ["$migrated"];

/** The old layout of one bucket. Methods reject as the store does. */
export class OldLayout {
  readonly #options: OldLayoutOptions;

  constructor(options: OldLayoutOptions) {
    this.#options = options;
  }

  /**
   * Takes over the parts of the schema that are not taken over yet. Resolves with whether there were
   * any.
   */
  async take(schema_id: string): Promise<boolean> {
    const { sets, store, log } = this.#options;
    const entry = await sets.get(oldKey(schema_id));
    const head = entry && oldHead(entry.value);
    if (head === undefined) return false;
    if (!isSchemaId(schema_id)) {
      log.error("a schema of an earlier build cannot be taken over", {
        schema: schema_id,
        error: `${SCHEMA_ID_RULE}; register it under another id`,
      });
      return false;
    }
    const { stored, buried } = await store.standing(schema_id);
    // The schema was taken over before and deleted since, so it must not come back.
    if (buried !== undefined) return false;
    return stored === undefined
      ? await this.#takeAll(schema_id, head)
      : await this.#takeNewest(schema_id, head, stored.head.migrated_version ?? 0);
  }

  /**
   * Deletes the old entries of these schemas a day after the first call. Resolves with whether they are
   * gone.
   */
  async tidy(schema_ids: Iterable<string>): Promise<boolean> {
    const { sets, versions, store, log, now } = this.#options;
    const seen = await versions.get(FIRST_SEEN);
    if (seen === undefined) {
      await versions.put(FIRST_SEEN, new TextEncoder().encode(String(now())));
      return false;
    }
    if (now() - Number(new TextDecoder().decode(seen.value)) < OLD_KEPT_MS) return false;
    for (const schema_id of schema_ids) {
      // An earlier build may have registered another version since.
      await this.take(schema_id);
      if (!isSchemaId(schema_id)) continue;
      const { stored, buried } = await store.standing(schema_id);
      if (stored === undefined && buried === undefined) continue;
      for (const key of await sets.keys(oldKey(schema_id))) await sets.delete(key);
      log.info("the entries of an earlier build are deleted", { schema: schema_id });
    }
    return true;
  }

  /** The set of a version; undefined when it is missing, or is not what was registered. */
  async #bytes(schema_id: string, version: SchemaVersion): Promise<Uint8Array | undefined> {
    const { sets } = this.#options;
    for (const key of [versionKey(schema_id, version), [schema_id]]) {
      const entry = await sets.get(oldKey(...key));
      const found = readings(entry?.value ?? new Uint8Array(0))
        .find((bytes) => sha256Of(bytes) === version.sha256);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #takeAll(schema_id: string, head: SchemaRecord): Promise<boolean> {
    const { versions, store, log } = this.#options;
    for (const version of head.versions) {
      const bytes = await this.#bytes(schema_id, version);
      // A damaged set stays damaged: the history says what it should be.
      if (bytes !== undefined) await versions.put(versionKey(schema_id, version), bytes);
    }
    const { version } = latestOf(head);
    const done = await store.change(schema_id, ({ stored }) =>
      Promise.resolve(
        stored === undefined ? { head: { ...head, migrated_version: version } } : undefined,
      ));
    await restore(store, schema_id);
    if (done?.migrated_version !== version) return false;
    log.info("a schema of an earlier build is taken over", { schema: schema_id, version });
    return true;
  }

  /**
   * Takes over a newer version, which a node of an earlier build may register while newer nodes run.
   */
  async #takeNewest(schema_id: string, head: SchemaRecord, known: number): Promise<boolean> {
    const { store, work, log, versions_max } = this.#options;
    const latest = latestOf(head);
    const { version: migrated_version, by, registered_ms: now_ms } = latest;
    if (migrated_version <= known) return false;
    const bytes = await this.#bytes(schema_id, latest);
    if (bytes === undefined) return false;
    const request = { schema_id, bytes, by, now_ms, versions_max, migrated_version };
    try {
      const { head } = await register({ store, work }, request);
      const { version } = latestOf(head);
      log.info("a version of an earlier build is taken over", { schema: schema_id, version });
    } catch (error) {
      if (!(error instanceof IncompatibleError)) throw error;
      log.error("a version of an earlier build is refused", {
        schema: schema_id,
        error: error.message,
      });
      await store.change(
        schema_id,
        ({ stored }) => Promise.resolve(stored && { head: { ...stored.head, migrated_version } }),
      );
    }
    return true;
  }
}

/** Opens the old layout of a bucket of current sets. Rejects with `spine-unavailable`. */
export async function openOldLayout(
  spine: Spine,
  kv_bucket: string,
  options: Omit<OldLayoutOptions, "sets" | "versions">,
): Promise<OldLayout> {
  const sets = await spine.keyValue(kv_bucket, { plain: true });
  const versions = await spine.keyValue(versionsBucket(kv_bucket));
  return new OldLayout({ ...options, sets, versions });
}
