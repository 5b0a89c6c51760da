/**
 * Rolls a schema back: the content of an earlier version becomes the next version, which names that earlier one. So the
 * history is complete, and says who rolled back. Nothing is compared: an operator rolls back because a later version
 * was wrong.
 */
import { ArqonError } from "@arqon/proto";
import { latestOf, type SchemaRecord, type SchemaVersion } from "./schema_record.ts";
import type { SchemaStore } from "./store.ts";

/** The schema to roll back, the version, and the operator. */
interface RollbackRequest {
  readonly schema_id: string;
  /**
   * The version to roll back to; absent: the one before the current, so that repeated rollbacks go back step by step.
   */
  readonly version: number | undefined;
  readonly by: string;
  /** Unix ms. */
  readonly now_ms: number;
  readonly versions_max: number;
}

/** A history, and whether a version was added to it. */
interface RolledBack {
  readonly head: SchemaRecord;
  readonly is_new: boolean;
}

/** The version whose bytes a version has; after a rollback it is an earlier one. */
const originOf = ({ version, restores }: SchemaVersion): number => restores ?? version;

function targetOf({ versions }: SchemaRecord, wanted: number | undefined): SchemaVersion {
  const latest = versions.at(-1);
  const found = wanted === undefined
    ? versions.findLast(({ version }) => latest !== undefined && version < originOf(latest))
    : versions.find(({ version }) => version === wanted);
  if (found !== undefined) return found;
  const what = wanted === undefined ? "no earlier version" : `no version ${wanted}`;
  const [oldest] = versions;
  throw new ArqonError(
    "schema-unknown",
    `${what}; there are ${oldest?.version ?? 0} to ${latest?.version ?? 0}`,
  );
}

/**
 * Activates an earlier version as a new one. Rejects with `schema-unknown` if there is no such schema or version, and
 * as the store does.
 */
export async function rollBack(
  store: SchemaStore,
  { schema_id, version: wanted, by, now_ms, versions_max }: RollbackRequest,
): Promise<RolledBack> {
  let is_new = false;
  // The previous version is determined once, so that two concurrent rollbacks go back one step.
  let target: number | undefined = wanted;
  const head = await store.change(schema_id, async ({ stored }) => {
    if (stored === undefined) throw new ArqonError("schema-unknown", JSON.stringify(schema_id));
    const { head: before } = stored;
    const found = targetOf(before, target);
    target = found.version;
    const latest = latestOf(before);
    is_new = found.sha256 !== latest.sha256;
    if (!is_new) return undefined;
    const bytes = await store.bytes(schema_id, found);
    const { sha256, size_bytes } = found;
    const version = latest.version + 1;
    const restores = originOf(found);
    const entry = { version, sha256, size_bytes, registered_ms: now_ms, by, restores };
    return { head: { ...before, versions: [...before.versions, entry] }, bytes, versions_max };
  });
  if (head === undefined) throw new TypeError("a schema without a history");
  await store.pardon(schema_id);
  return { head, is_new };
}
