/**
 * All that is stored of a schema at one moment, and what follows from it: whether the current set has been
 * judged, what a deletion leaves. Pure; reading and writing is `store.ts`.
 */
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

/** What is in the bucket of current sets under an id, whoever has put it there. */
export interface StoredSet extends CheckedPut {
  readonly bytes: Uint8Array;
}

/** All that is stored of a schema, but for the versions' bytes. */
export interface Standing {
  readonly stored: StoredHead | undefined;
  /** Instead of a history: it was deleted. */
  readonly buried: StoredTombstone | undefined;
  readonly set: StoredSet | undefined;
  readonly refusal: Refusal | undefined;
}

/** Whether a put is the other one. */
export const isPut = (set: CheckedPut, put: CheckedPut | undefined) =>
  put?.revision === set.revision && put.sha256 === set.sha256;

/**
 * Whether the set is the current version, or one that a Shield has put late, or somebody has judged
 * that it is not to be.
 */
export function isJudged({ stored, set, refusal }: Standing): boolean {
  if (set === undefined || isPut(set, refusal)) return true;
  if (stored === undefined) return false;
  const { versions, judged } = stored.head;
  const floor = judged?.floor ?? Infinity;
  const is_late = versions.some(({ version, sha256 }) => version >= floor && sha256 === set.sha256);
  return is_late || set.sha256 === latestOf(stored.head).sha256 || isPut(set, judged);
}

/** What of a deleted schema is in the bucket of current sets, as it was or put late; undefined for anything else. */
export function remainsOf({ buried, set }: Standing): "left" | "late" | undefined {
  if (buried === undefined || set === undefined) return undefined;
  const { judged, late } = buried.tombstone;
  if (isPut(set, judged)) return "left";
  return late.includes(set.sha256) ? "late" : undefined;
}

/** What stands for the schema from its deletion on. It must have a history. */
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

/** The first version that a Shield may yet put, once `head` is written beside what stands. */
function floorOf({ stored, set }: Standing, head: SchemaRecord): number {
  const { version, sha256 } = latestOf(head);
  // Whoever wants to replace an older put comes too late: this one has another revision.
  if (set?.sha256 === sha256) return version + 1;
  if (stored === undefined) return version;
  const before = latestOf(stored.head);
  if (set?.sha256 === before.sha256) return before.version + 1;
  // Somebody may be about to put the version back that was the newest until now.
  return Math.min(stored.head.judged?.floor ?? before.version, before.version);
}

/** What `head` says of puts when it is written beside what stands; undefined when it knows of none. */
export function checkedBeside(standing: Standing, head: SchemaRecord): SchemaRecord["judged"] {
  const { stored, set } = standing;
  const floor = floorOf(standing, head);
  if (isJudged(standing) || set?.sha256 === latestOf(head).sha256) {
    return { revision: set?.revision ?? 0, sha256: set?.sha256 ?? "", floor };
  }
  // What nobody has judged stays so. Who refuses it meanwhile puts back what was the newest until now.
  return stored && { ...stored.head.judged ?? { revision: 0, sha256: "" }, floor };
}
