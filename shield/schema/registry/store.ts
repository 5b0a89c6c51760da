/**
 * The stored schemas, in two buckets. `kv_bucket` has the current gzipped set under each schema id, plain, for any tool
 * to read and put. The bucket whose name ends with `_VERSIONS` belongs to the Shields: it has the history under `[id]`,
 * and the set of each version under a key with its digest. The history decides which version is in force. It is written
 * after the bytes that it names and before the current set, by compare-and-set, and it records the last known put. So
 * our own put is not taken for another tool's, and the remains of a crash are not taken for an unjudged put.
 * `adoption.ts` judges.
 */
import { ArqonError } from "@arqon/proto";
import { changeDocument, isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import { listOnce } from "../../../shared/spine/contract/list_once.ts";
import type {
  KeyValue,
  KvChange,
  KvEntry,
  KvKey,
  KvWatch,
  Spine,
} from "../../../shared/spine/contract/spine.ts";
import { COMPATIBILITY_MODES, isSchemaId, SCHEMA_ID_RULE } from "../../../shared/schema_id.ts";
import type { CompatibilityMode } from "../../../shared/schema_id.ts";
import { createHash } from "node:crypto";
import { z } from "zod";
import { isIncompatible, requireFormat } from "../../../shared/records/stored.ts";

/** The default compatibility of a schema. */
export const DEFAULT_COMPATIBILITY: CompatibilityMode = "BACKWARD";

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const Version = z.looseObject({
  version: z.int().min(1),
  sha256: Sha256,
  size_bytes: z.int().min(0),
  registered_ms: z.int().min(0),
  by: z.string(),
  restores: z.int().min(1).optional(),
  apply: z.string().optional(),
});
const Judged = z.looseObject({
  revision: z.int().min(0),
  sha256: z.string(),
  floor: z.int().min(1).optional(),
});
const Deletion = z.looseObject({
  version: z.int().min(1),
  by: z.string(),
  deleted_ms: z.int().min(0),
});
// Loose: a write of this version keeps members of a later one.
const Head = z.looseObject({
  format: z.literal(1),
  compatibility: z.enum(COMPATIBILITY_MODES),
  versions: z.array(Version).min(1),
  judged: Judged.optional(),
  deleted: Deletion.optional(),
});
const Tombstone = z.looseObject({
  format: z.literal(1),
  versions: z.array(Version).max(0),
  deleted: Deletion,
  judged: Judged,
  late: z.array(Sha256),
});
const Refusal = z.looseObject({
  format: z.literal(1),
  revision: z.int().min(0),
  sha256: z.string(),
  size_bytes: z.int().min(0),
  refused_ms: z.int().min(0),
  problem: z.string(),
  serving: z.int().min(0),
});

/**
 * One registered version; `restores` is the version that a rollback restored, `apply` the apply that activated it.
 * `sha256` and `size_bytes` are those of the gzipped descriptor set.
 */
export type SchemaVersion = z.output<typeof Version>;
/**
 * A schema's history, the oldest version first. `judged`: the put into the bucket of current sets that
 * had been judged when this was written; Shields may still be about to replace it by versions from
 * `floor` on, and by none before. `deleted`: the last deletion before the first of these versions.
 */
export type SchemaRecord = z.output<typeof Head>;
/** The deletion of a schema: by whom, when (Unix ms), and the newest version that it had. */
export type Deletion = z.output<typeof Deletion>;
/**
 * The tombstone of a deleted schema. It takes the place of the history, so that remains are not taken for a new schema.
 * `judged`: the put that was deleted with it; no revision if there was none. `late`: what Shields may still have been
 * about to put.
 */
type Tombstone = z.output<typeof Tombstone>;
/** A put of another tool that was checked: its revision and the sha256 of its bytes; "" for a deletion. */
export type CheckedPut = Pick<z.output<typeof Judged>, "revision" | "sha256">;
/**
 * A put that was refused; a deletion has "" and 0 bytes. `serving` is the version with which it was
 * compared, 0 for none: the refusal stands until there is another version.
 */
export type Refusal = z.output<typeof Refusal>;

/** The sha256 of bytes, in hex. */
export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The key of a version's bytes. */
export function versionKey(
  schema_id: string,
  { version, sha256 }: Pick<SchemaVersion, "version" | "sha256">,
): KvKey {
  return [schema_id, String(version), sha256];
}

/** The part of a key below the id that marks a refusal. */
export const REFUSED = "refused";

/** The key of the last refusal. */
function refusalKey(schema_id: string): KvKey {
  return [schema_id, REFUSED];
}

/** The newest version of a history. */
export function latestOf({ versions }: SchemaRecord): SchemaVersion {
  const latest = versions.at(-1);
  if (latest === undefined) throw new TypeError("a head without versions");
  return latest;
}

/** Versions that lost a race and whose number another one has: nothing can refer to them. */
function overtaken(
  lost: readonly SchemaVersion[],
  { versions }: Pick<SchemaRecord, "versions"> = { versions: [] },
): SchemaVersion[] {
  const keys = new Map(lost.map((one) => [`${one.version} ${one.sha256}`, one]));
  return [...keys.values()].filter((one) => {
    const taken = versions.find(({ version }) => version === one.version);
    return taken !== undefined && taken.sha256 !== one.sha256;
  });
}

/** The stored form of a record. */
export function encodeSchemaRecord(head: SchemaRecord | Tombstone | Refusal): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(head));
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

/** Reads the history or a tombstone, or returns the problem of the bytes. */
export function decodeSchemaRecord(bytes: Uint8Array):
  | { readonly head: SchemaRecord }
  | { readonly tombstone: Tombstone }
  | { readonly problem: string } {
  const json = parse(bytes);
  if (json === undefined) return { problem: "it is not JSON" };
  try {
    requireFormat(json, "history of a schema");
  } catch (error) {
    if (isIncompatible(error)) return { problem: error.message };
    throw error;
  }
  const tombstone = Tombstone.safeParse(json);
  if (tombstone.success) return { tombstone: tombstone.data };
  const parsed = Head.safeParse(json);
  if (!parsed.success) return { problem: z.prettifyError(parsed.error) };
  const ascending = parsed.data.versions.every(({ version }, at, all) =>
    at === 0 || version > (all[at - 1]?.version ?? 0)
  );
  return ascending ? { head: parsed.data } : { problem: "its versions do not ascend" };
}

/** Reads a refusal; undefined if the bytes are invalid. */
export function decodeRefusal(bytes: Uint8Array): Refusal | undefined {
  const parsed = Refusal.safeParse(parse(bytes));
  return parsed.success ? parsed.data : undefined;
}

/** A history and the revision at which it is stored. */
export interface StoredHead {
  readonly head: SchemaRecord;
  readonly revision: number;
}

/** A tombstone and the revision at which it is stored. */
interface StoredTombstone {
  readonly tombstone: Tombstone;
  readonly revision: number;
}

/** The entry of the bucket of current sets under an id, put by any writer. */
export interface StoredSet extends CheckedPut {
  readonly bytes: Uint8Array;
}

/** The whole stored state of a schema, except for the versions' bytes. */
export interface Standing {
  readonly stored: StoredHead | undefined;
  /** The tombstone of a deleted schema, which has no history. */
  readonly buried: StoredTombstone | undefined;
  readonly set: StoredSet | undefined;
  /** The last write of the current set, which may be a deletion. */
  readonly last: KvChange | undefined;
  readonly refusal: Refusal | undefined;
}

/** Whether two puts are the same. */
export const isPut = (set: CheckedPut, put: CheckedPut | undefined) =>
  put?.revision === set.revision && put.sha256 === set.sha256;

/**
 * Whether the set is the current version, one that a Shield has put late, or one that was judged and is
 * not to be the current one.
 */
export function isJudged({ stored, set, refusal }: Standing): boolean {
  if (set === undefined || isPut(set, refusal)) return true;
  if (stored === undefined) return false;
  const { versions, judged } = stored.head;
  const floor = judged?.floor ?? Infinity;
  const is_late = versions.some(({ version, sha256 }) => version >= floor && sha256 === set.sha256);
  return is_late || set.sha256 === latestOf(stored.head).sha256 || isPut(set, judged);
}

/** The origin of a deleted schema's current set: `left` over, or put `late`; undefined for anything else. */
export function remainsOf({ buried, set }: Standing): "left" | "late" | undefined {
  if (buried === undefined || set === undefined) return undefined;
  const { judged, late } = buried.tombstone;
  if (isPut(set, judged)) return "left";
  return late.includes(set.sha256) ? "late" : undefined;
}

/** The tombstone for a schema, which must have a history. */
export function tombstoneOf(
  { stored, set }: Standing,
  { by, deleted_ms }: Pick<Deletion, "by" | "deleted_ms">,
): Tombstone {
  if (stored === undefined) throw new TypeError("no history to delete");
  const { versions, judged } = stored.head;
  const latest = latestOf(stored.head);
  const floor = Math.min(judged?.floor ?? latest.version, latest.version);
  const late = versions.filter(({ version }) => version >= floor).map(({ sha256 }) => sha256);
  return {
    format: 1,
    versions: [],
    deleted: { version: latest.version, by, deleted_ms },
    judged: { revision: set?.revision ?? 0, sha256: set?.sha256 ?? "" },
    late,
  };
}

/** The first version that a Shield may still put late, after `head` is written. */
function floorOf({ stored, set }: Standing, head: SchemaRecord): number {
  const { version, sha256 } = latestOf(head);
  // A Shield that would replace an older put fails, as this one has another revision.
  if (set?.sha256 === sha256) return version + 1;
  if (stored === undefined) return version;
  const before = latestOf(stored.head);
  if (set?.sha256 === before.sha256) return before.version + 1;
  // A Shield may be restoring the version that was the newest until now.
  return Math.min(stored.head.judged?.floor ?? before.version, before.version);
}

/** The `judged` of a `head` that is written now; undefined when no put is known. */
function checkedBeside(standing: Standing, head: SchemaRecord): SchemaRecord["judged"] {
  const { stored, set } = standing;
  const floor = floorOf(standing, head);
  if (isJudged(standing) || set?.sha256 === latestOf(head).sha256) {
    return { revision: set?.revision ?? 0, sha256: set?.sha256 ?? "", floor };
  }
  // An unjudged set stays unjudged. A Shield that refuses it meanwhile restores the version that was the newest until
  // now.
  return stored && { ...stored.head.judged ?? { revision: 0, sha256: "" }, floor };
}

/** The end of the name of the bucket of histories, after `kv_bucket`. */
const VERSIONS_SUFFIX = "_VERSIONS";

interface ListedSchema {
  readonly schema_id: string;
  readonly head: SchemaRecord;
}

/** A change of a schema: another history, and the bytes of its newest version if that is new. */
export interface HeadChange {
  readonly head: SchemaRecord;
  readonly bytes?: Uint8Array;
  /** The most stored versions; older ones are deleted. Absent: all are kept. */
  readonly versions_max?: number;
}

/** Throws `invalid-schema` unless the text may be a schema id. */
export function requireSchemaId(schema_id: string): void {
  if (isSchemaId(schema_id)) return;
  const shown = JSON.stringify(schema_id.slice(0, 64));
  throw new ArqonError("invalid-schema", `the id ${shown} is invalid; ${SCHEMA_ID_RULE}`);
}

/** The stored schemas. Every method rejects with `spine-unavailable` while the Spine does not answer. */
export class SchemaStore {
  readonly #versions: KeyValue;
  readonly #sets: KeyValue;

  /** Joins the two buckets; `sets` is opened plain. */
  constructor(versions: KeyValue, sets: KeyValue) {
    this.#versions = versions;
    this.#sets = sets;
  }

  /**
   * Reads the schema's history; undefined if there is no such schema. Rejects with `invalid-schema` for an invalid id,
   * and with `schema-unavailable` if the stored record cannot be read.
   */
  async read(schema_id: string): Promise<StoredHead | undefined> {
    return (await this.#history(schema_id)).stored;
  }

  /** Reads as `read` does, but rejects with `schema-unknown` if there is no such schema. */
  async require(schema_id: string): Promise<StoredHead> {
    const { stored, buried } = await this.#history(schema_id);
    if (stored !== undefined) return stored;
    throw unknown(schema_id, buried);
  }

  /** Reads the stored state of a schema at one moment. Rejects as `read` does. */
  async standing(schema_id: string): Promise<Standing> {
    for (let history = await this.#history(schema_id);;) {
      const last = await this.#sets.last(setKey(schema_id));
      const refused = await this.#versions.get(refusalKey(schema_id));
      const { stored, buried } = history;
      history = await this.#history(schema_id);
      // Without this check, a put could be judged by a history that does not include it, and be replaced.
      if (revisionOf(history) !== revisionOf({ stored, buried })) continue;
      const refusal = refused && decodeRefusal(refused.value);
      return { stored, buried, set: setOf(last), last, refusal };
    }
  }

  /** The entry of the schema in the bucket of current sets. */
  async set(schema_id: string): Promise<StoredSet | undefined> {
    return setOf(await this.#sets.last(setKey(schema_id)));
  }

  /** The gzipped descriptor set of a version. Rejects with `schema-unavailable` if it is damaged. */
  async bytes(
    schema_id: string,
    version: Pick<SchemaVersion, "version" | "sha256">,
  ): Promise<Uint8Array> {
    const bytes = (await this.#versions.get(versionKey(schema_id, version)))?.value;
    if (bytes !== undefined && sha256Of(bytes) === version.sha256) return bytes;
    const set = await this.set(schema_id);
    if (set?.sha256 === version.sha256) return set.bytes;
    const what = bytes === undefined ? "is missing" : "differs from what was registered";
    throw unreadable(schema_id, `its version ${version.version} ${what}`);
  }

  /** Stores bytes that no history names yet. */
  async stage(
    schema_id: string,
    version: Pick<SchemaVersion, "version" | "sha256">,
    bytes: Uint8Array,
  ): Promise<void> {
    await this.#versions.put(versionKey(schema_id, version), bytes);
  }

  /**
   * Writes the result of `change`, and calls it again after a conflict. Nothing is written if it returns undefined.
   * Resolves to the new history. Rejects as `change` throws, and with `version-conflict`.
   */
  async change(
    schema_id: string,
    change: (standing: Standing) => Promise<HeadChange | undefined> | HeadChange | undefined,
  ): Promise<SchemaRecord | undefined> {
    const put: SchemaVersion[] = [];
    return await changeDocument(async (mayLose) => {
      const standing = await this.standing(schema_id);
      const { stored, set, last } = standing;
      const changed = await change(standing);
      if (changed === undefined) {
        for (const one of overtaken(put, stored?.head)) await this.forget(schema_id, one);
        return stored?.head;
      }
      const { bytes, versions_max = Infinity } = changed;
      const versions = changed.head.versions.slice(-versions_max);
      // The bytes are written even if they exist: this repairs damage, and renews their age for the sweep.
      if (bytes !== undefined) {
        await this.#versions.put(versionKey(schema_id, latestOf(changed.head)), bytes);
        put.push(latestOf(changed.head));
      }
      const judged = checkedBeside(standing, changed.head);
      const head = { ...changed.head, versions, ...(judged && { judged }) };
      const record = encodeSchemaRecord(head);
      await mayLose(this.#versions.update([schema_id], record, revisionOf(standing)));
      const is_there = set?.sha256 === latestOf(head).sha256;
      // If there is another put, the Shields that watch the bucket handle it.
      if (bytes !== undefined && isJudged(standing) && !is_there) {
        await this.putBack(schema_id, last, bytes);
        if ((judged?.floor ?? Infinity) < latestOf(head).version) await this.settle(schema_id);
      }
      const dropped = changed.head.versions.slice(0, -versions.length);
      for (const one of [...overtaken(put, head), ...dropped]) await this.forget(schema_id, one);
      return head;
    });
  }

  /**
   * Makes the bytes of the newest version the current set, instead of `last`. Resolves to its revision; undefined if
   * the key was put or deleted meanwhile: then the bytes may no longer be the newest.
   */
  async putBack(
    schema_id: string,
    last: KvChange | undefined,
    bytes: Uint8Array,
  ): Promise<number | undefined> {
    try {
      return await this.#sets.replace(setKey(schema_id), bytes, last);
    } catch (error) {
      if (isConflict(error)) return undefined;
      throw error;
    }
  }

  /**
   * Settles which version is the current set. Concurrent registrations leave a history in which versions other than the
   * newest may still be put. Once the newest is the current set, none of them can be, so a later put of one of them is
   * intended.
   */
  async settle(schema_id: string): Promise<void> {
    const { stored, set } = await this.standing(schema_id);
    if (stored === undefined || set === undefined) return;
    const { head, revision } = stored;
    const { version, sha256 } = latestOf(head);
    if ((head.judged?.floor ?? version) >= version || set.sha256 !== sha256) return;
    const judged = { revision: set.revision, sha256, floor: version + 1 };
    try {
      await this.#versions.update([schema_id], encodeSchemaRecord({ ...head, judged }), revision);
    } catch (error) {
      // A faster Shield has put a version and settles it.
      if (!isConflict(error)) throw error;
    }
  }

  /** Stores a refusal. Resolves to false if it exists already, as another Shield was faster. */
  async refuse(schema_id: string, refusal: Refusal): Promise<boolean> {
    const key = refusalKey(schema_id);
    return await changeDocument(async (mayLose) => {
      const entry = await this.#versions.get(key);
      const before = entry && decodeRefusal(entry.value);
      if (isPut(refusal, before) && before?.serving === refusal.serving) return false;
      const bytes = encodeSchemaRecord(refusal);
      await mayLose(this.#versions.update(key, bytes, entry?.revision ?? 0));
      return true;
    });
  }

  async pardon(schema_id: string): Promise<void> {
    await this.#versions.delete(refusalKey(schema_id));
  }

  /** Replaces the history by a tombstone. Rejects with `version-conflict` if the history has changed. */
  async bury(schema_id: string, { revision }: StoredHead, tombstone: Tombstone): Promise<void> {
    await this.#versions.update([schema_id], encodeSchemaRecord(tombstone), revision);
  }

  /** Deletes a current set, unless another one has replaced it. */
  async clear(schema_id: string, { revision }: CheckedPut): Promise<void> {
    await this.#sets.delete(setKey(schema_id), revision).catch((error: unknown) => {
      if (!isConflict(error)) throw error;
    });
  }

  /** Deletes the bytes of a version that no history names any longer. */
  async forget(
    schema_id: string,
    version: Pick<SchemaVersion, "version" | "sha256">,
  ): Promise<void> {
    await this.#versions.delete(versionKey(schema_id, version));
  }

  /** Every schema with a readable history, by id. */
  async list(): Promise<ListedSchema[]> {
    const entries = await listOnce(this.#versions, { depth: 1 });
    return entries.map(readEntry).filter((read) => read !== undefined)
      .sort((a, b) => a.schema_id < b.schema_id ? -1 : 1);
  }

  /** Watches histories and refusals: first the existing ones, then each change. */
  watchHistories(onChange: (change: KvChange) => void): KvWatch {
    return this.#versions.watch([], onChange, { depth: 2 });
  }

  /** Watches the bucket of current sets: first the existing entries, then each change by any writer. */
  watchSets(onChange: (change: KvChange) => void): KvWatch {
    return this.#sets.watch([], onChange);
  }

  async setKeys(): Promise<string[]> {
    return (await this.#sets.keys()).map((key) => key.join("."));
  }

  /** Reads the history, or the tombstone in its place. */
  async #history(schema_id: string): Promise<Pick<Standing, "stored" | "buried">> {
    requireSchemaId(schema_id);
    const entry = await this.#versions.get([schema_id]);
    if (entry === undefined) return { stored: undefined, buried: undefined };
    const { revision } = entry;
    const read = decodeSchemaRecord(entry.value);
    if ("head" in read) return { stored: { ...read, revision }, buried: undefined };
    if ("tombstone" in read) return { stored: undefined, buried: { ...read, revision } };
    throw unreadable(schema_id, `its history cannot be read: ${read.problem}`);
  }
}

/** The revision of a history or a tombstone; 0: neither. */
const revisionOf = ({ stored, buried }: Pick<Standing, "stored" | "buried">) =>
  (stored ?? buried)?.revision ?? 0;

function setOf(last: KvChange | undefined): StoredSet | undefined {
  if (last?.type !== "put") return undefined;
  const { value: bytes, revision } = last;
  return { bytes, revision, sha256: sha256Of(bytes) };
}

function setKey(schema_id: string): KvKey {
  requireSchemaId(schema_id);
  return schema_id.split(".");
}

function readEntry({ key, value }: KvEntry): ListedSchema | undefined {
  const [schema_id = ""] = key;
  const read = decodeSchemaRecord(value);
  return isSchemaId(schema_id) && "head" in read ? { schema_id, head: read.head } : undefined;
}

/** The refusal for an id under which nothing is registered. */
export function unknown(schema_id: string, buried: StoredTombstone | undefined): ArqonError {
  const { version, by, deleted_ms } = buried?.tombstone.deleted ?? {};
  const how = deleted_ms === undefined
    ? ""
    : `, which ${by || "somebody"} deleted at version ${version} (${
      new Date(deleted_ms).toISOString()
    })`;
  return new ArqonError("schema-unknown", `${JSON.stringify(schema_id)}${how}`);
}

function unreadable(schema_id: string, problem: string): ArqonError {
  const detail = `${schema_id}: ${problem}`;
  return new ArqonError("schema-unavailable", detail, { cause: new Error(problem) });
}

/** The bucket of histories that belongs to a `kv_bucket`. */
export const versionsBucket = (kv_bucket: string) => `${kv_bucket}${VERSIONS_SUFFIX}`;

/** Opens both buckets, and creates them if necessary. Rejects with `spine-unavailable`. */
export async function openSchemaStore(spine: Spine, kv_bucket: string): Promise<SchemaStore> {
  const sets = spine.keyValue(kv_bucket, { plain: true });
  const versions = spine.keyValue(versionsBucket(kv_bucket));
  return new SchemaStore(...await Promise.all([versions, sets]));
}
