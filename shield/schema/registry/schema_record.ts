/**
 * The stored records of a schema besides its current set: the history under its id, with its versions and its
 * compatibility, and the last refused put. Pure; `store.ts` reads and writes. The descriptors are under keys that
 * contain their digest.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { COMPATIBILITY_MODES, type CompatibilityMode } from "../../../shared/schema_id.ts";
import type { KvKey } from "../../../shared/spine/contract/spine.ts";
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
export type Tombstone = z.output<typeof Tombstone>;
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
export function refusalKey(schema_id: string): KvKey {
  return [schema_id, REFUSED];
}

/** The newest version of a history. */
export function latestOf({ versions }: SchemaRecord): SchemaVersion {
  const latest = versions.at(-1);
  if (latest === undefined) throw new TypeError("a head without versions");
  return latest;
}

/** Versions that lost a race and whose number another one has: nothing can refer to them. */
export function overtaken(
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
