/**
 * The whole stored state of a schema at one moment: whether the current set was judged, and the remains of a deletion.
 * Pure; `store.ts` reads and writes.
 */
import type { KvChange } from "../../../shared/spine/contract/spine.ts";
import { latestOf } from "./schema_record.ts";
import type { CheckedPut, Deletion, Refusal, SchemaRecord, Tombstone } from "./schema_record.ts";

/** A history and the revision at which it is stored. */
export interface StoredHead {
  readonly head: SchemaRecord;
  readonly revision: number;
}

/** A tombstone and the revision at which it is stored. */
export interface StoredTombstone {
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
export function checkedBeside(standing: Standing, head: SchemaRecord): SchemaRecord["judged"] {
  const { stored, set } = standing;
  const floor = floorOf(standing, head);
  if (isJudged(standing) || set?.sha256 === latestOf(head).sha256) {
    return { revision: set?.revision ?? 0, sha256: set?.sha256 ?? "", floor };
  }
  // An unjudged set stays unjudged. A Shield that refuses it meanwhile restores the version that was the newest until
  // now.
  return stored && { ...stored.head.judged ?? { revision: 0, sha256: "" }, floor };
}
