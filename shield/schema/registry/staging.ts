/**
 * Staged versions: stored before it is decided whether they are activated. No history names them, so nothing is checked
 * against them. A decided apply (`shield/apply/`) activates them, on the Shield that finishes it; those of a lost apply
 * are swept (`sweep.ts`).
 */
import { ArqonError } from "@arqon/proto";
import type { StagedSchema } from "../../../shared/records/bus_schemas.ts";
import { errorsOf } from "../../../shared/schema/compatibility/findings.ts";
import type { CompatibilityMode } from "../../../shared/schema_id.ts";
import { appended, checkCandidate, IncompatibleError, isSameSet } from "./register.ts";
import { nextVersion, onSchema } from "./register.ts";
import type { CompatibilityCheck, RegisterTools } from "./register.ts";
import { DEFAULT_COMPATIBILITY, latestOf, type SchemaVersion, sha256Of } from "./schema_record.ts";
import type { SchemaStore } from "./store.ts";

interface StageRequest {
  readonly schema_id: string;
  /** A gzipped FileDescriptorSet. */
  readonly bytes: Uint8Array;
  readonly compatibility: CompatibilityMode | undefined;
}

/** The stored version. */
export interface Stage extends CompatibilityCheck {
  /** The newest version in force; 0: there is none. */
  readonly after: number;
  /** The version number that it would get; `after` if that version is the same set. */
  readonly version: number;
  readonly sha256: string;
}

/** Checks a set as a registration does, and stores it. Rejects as `registerPut` does. */
export async function stage(
  tools: RegisterTools,
  { schema_id, bytes, compatibility: mode }: StageRequest,
): Promise<Stage> {
  const { store, work } = tools;
  const { unpacked_sha256 } = await onSchema(work.read(bytes, []));
  const sha256 = sha256Of(bytes);
  const standing = await store.standing(schema_id);
  const { stored } = standing;
  const latest = stored && latestOf(stored.head);
  const after = latest?.version ?? 0;
  if (
    latest !== undefined && await isSameSet(tools, schema_id, latest, { sha256, unpacked_sha256 })
  ) {
    const compatibility = mode ?? stored?.head.compatibility ?? DEFAULT_COMPATIBILITY;
    const same = { version: after, sha256: latest.sha256 };
    return { compatibility, against: [], findings: [], after, ...same };
  }
  const check = await checkCandidate(tools, schema_id, stored, bytes, mode);
  if (errorsOf(check.findings).length > 0) throw new IncompatibleError(check);
  const version = nextVersion(standing);
  await store.stage(schema_id, { version, sha256 }, bytes);
  return { ...check, after, version, sha256 };
}

const stale = (schema_id: string, latest: number) =>
  new ArqonError(
    "settings-conflict",
    `the plan is stale, nothing was changed: schema ${schema_id} is at version ${latest}`,
  );

/**
 * The bytes of a staged version. Rejects with `settings-conflict` if another version has been registered since, and
 * with `schema-unavailable` if the bytes are missing.
 */
export async function stagedBytes(store: SchemaStore, staged: StagedSchema): Promise<Uint8Array> {
  const { schema_id, version, sha256 } = staged;
  const standing = await store.standing(schema_id);
  const { stored } = standing;
  const latest = stored && latestOf(stored.head);
  const is_there = latest?.version === version && latest.sha256 === sha256;
  if (!is_there && version !== nextVersion(standing)) {
    throw stale(schema_id, latest?.version ?? 0);
  }
  return await store.bytes(schema_id, staged);
}

/** Whether an apply has already activated its version. */
function isPromoted(
  versions: readonly SchemaVersion[],
  { version, sha256 }: StagedSchema,
  apply: string,
): boolean {
  return versions.some((one) =>
    one.apply === apply || (one.version === version && one.sha256 === sha256)
  );
}

/** The apply that activates a staged version, and the time of its decision. */
interface Promotion {
  readonly apply: string;
  readonly by: string;
  /** Unix ms. */
  readonly at_ms: number;
  readonly versions_max: number;
}

/**
 * Activates a staged version exactly once, even if several Shields do it. A version registered in between precedes it.
 * Rejects as the store does.
 */
export async function promote(
  store: SchemaStore,
  staged: StagedSchema,
  { apply, by, at_ms, versions_max }: Promotion,
): Promise<void> {
  const { schema_id } = staged;
  await store.change(schema_id, async (standing) => {
    const { stored } = standing;
    const compatibility = staged.compatibility ?? stored?.head.compatibility ??
      DEFAULT_COMPATIBILITY;
    if (stored !== undefined && isPromoted(stored.head.versions, staged, apply)) {
      const { head } = stored;
      // A late Shield changes nothing: the set is written only if no later version exists.
      const is_last = latestOf(head).version === staged.version;
      return head.compatibility === compatibility || !is_last
        ? undefined
        : { head: { ...head, compatibility } };
    }
    const bytes = await store.bytes(schema_id, staged);
    const request = { schema_id, bytes, by, now_ms: at_ms, versions_max };
    const check = { compatibility, against: [], findings: [] };
    const next = appended({ standing, request, check }, staged.sha256);
    const versions = next.head.versions.with(-1, { ...latestOf(next.head), apply });
    return { ...next, head: { ...next.head, versions } };
  });
  await store.pardon(schema_id);
}
