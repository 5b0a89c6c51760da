/**
 * Registers versions: reads a set, compares it with earlier versions, and stores it. `shared/schema/` defines valid
 * descriptor sets and compatible changes; `store.ts` stores versions.
 */
import { ArqonError } from "@arqon/proto";
import {
  errorsOf,
  FindingCollector,
  FINDINGS_MAX,
  formatFinding,
  isTransitive,
} from "../../../shared/schema/compatibility/findings.ts";
import type { Finding } from "../../../shared/schema/compatibility/findings.ts";
import type { CompatibilityMode } from "../../../shared/schema_id.ts";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import {
  DEFAULT_COMPATIBILITY,
  isJudged,
  latestOf,
  sha256Of,
  tombstoneOf,
  unknown,
} from "./store.ts";
import type {
  CheckedPut,
  Deletion,
  HeadChange,
  SchemaRecord,
  SchemaStore,
  SchemaVersion,
  Standing,
  StoredHead,
} from "./store.ts";
import { CANDIDATE } from "./set_jobs.ts";
import type { SetWork } from "./set_work.ts";
import type { SchemaMapping } from "../../../shared/config/schema_governance.ts";
import { changeDocument } from "../../../shared/spine/contract/compare_and_set.ts";
import type { StagedSchema } from "../../../shared/records/bus_schemas.ts";

/** The comparison of a candidate, and its result. */
interface CompatibilityCheck {
  readonly compatibility: CompatibilityMode;
  /** The numbers of the versions that it was compared with, newest first. */
  readonly against: readonly number[];
  /** The findings, errors first. Without an error the version may be registered. */
  readonly findings: readonly Finding[];
}

/** A version that was registered now or before. */
export interface Registration extends CompatibilityCheck {
  readonly head: SchemaRecord;
  /** False when the newest version already was this set. */
  readonly is_new: boolean;
}

/** The refusal of an incompatible version; the findings go into the problem body. */
export class IncompatibleError extends Error {
  override readonly name = "IncompatibleError";
  readonly check: CompatibilityCheck;

  constructor(check: CompatibilityCheck) {
    const errors = errorsOf(check.findings);
    const more = errors.length > 1 ? ` (1 of ${errors.length})` : "";
    super(`${errors[0] === undefined ? "" : formatFinding(errors[0])}${more}`);
    this.check = check;
  }
}

interface RegisterTools {
  readonly store: SchemaStore;
  readonly work: Pick<SetWork, "read" | "compare">;
}

/** Which schema is registered, and by whom. */
export interface RegisterRequest {
  readonly schema_id: string;
  /** A gzipped FileDescriptorSet. */
  readonly bytes: Uint8Array;
  /** The compatibility from now on; absent: unchanged, and for a new schema BACKWARD. */
  readonly compatibility?: CompatibilityMode | undefined;
  readonly by: string;
  /** Unix ms. */
  readonly now_ms: number;
  readonly versions_max: number;
  /**
   * Set if the bytes are another tool's put in the bucket of current sets, at this revision: nothing is registered if
   * something else is there by now, or this put was judged.
   */
  readonly put_revision?: number;
  /** The messages of the schema that subjects are mapped to; absent: none. */
  readonly mapped?: ReadonlySet<string>;
}

/** Resolves as the job does; a `SchemaError` is rejected as `invalid-schema`. */
export async function onSchema<T>(job: Promise<T>): Promise<T> {
  try {
    return await job;
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new ArqonError("invalid-schema", cause.message, { cause });
  }
}

/** Warns of each message that subjects are mapped to and that a candidate lacks. */
export function missingMessages(
  missing: readonly string[],
  stored: StoredHead | undefined,
): Finding[] {
  const from_version = stored === undefined ? "" : String(latestOf(stored.head).version);
  const detail =
    "is missing, and subjects are mapped to it: they continue with the newest earlier " +
    "version that has it, and are refused if there is none";
  return missing.slice(0, FINDINGS_MAX).map((message) => ({
    severity: "warning",
    rule: "mapped-message-missing",
    file: "",
    message,
    field: "",
    detail,
    from_version,
    to_version: CANDIDATE,
  }));
}

/** Checks a candidate, a gzipped set, against the stored versions. Rejects as the store does. */
export async function checkCandidate(
  { store, work }: RegisterTools,
  schema_id: string,
  stored: StoredHead | undefined,
  candidate: Uint8Array,
  mode?: CompatibilityMode,
): Promise<CompatibilityCheck> {
  const compatibility = mode ?? stored?.head.compatibility ?? DEFAULT_COMPATIBILITY;
  if (stored === undefined || compatibility === "NONE") {
    return { compatibility, against: [], findings: [] };
  }
  const { versions } = stored.head;
  const compared = isTransitive(compatibility) ? versions.toReversed() : versions.slice(-1);
  const collector = new FindingCollector();
  // The versions are compared one after the other: a thousand unpacked sets at a time would need too
  // much memory.
  for (const version of compared) {
    const earlier = await store.bytes(schema_id, version);
    const name = String(version.version);
    const compared = await onSchema(work.compare(candidate, earlier, name, compatibility));
    if ("stored_problem" in compared) throw notComparable(version, compared.stored_problem);
    collector.add([...compared.findings]);
  }
  const against = compared.map(({ version }) => version);
  return { compatibility, against, findings: collector.sorted() };
}

/** The refusal if this version of the Shield refuses an earlier, registered version. */
function notComparable({ version }: SchemaVersion, problem: string): ArqonError {
  return new ArqonError(
    "invalid-schema",
    `the stored version ${version} cannot be compared: ${problem}; ` +
      "compatibility NONE skips the comparison",
    { cause: new SchemaError(problem) },
  );
}

/** Whether two gzipped sets have the same content: compressors differ, and write names and times. */
async function isSameSet(
  { store, work }: RegisterTools,
  schema_id: string,
  latest: SchemaVersion,
  candidate: { readonly sha256: string; readonly unpacked_sha256: string },
): Promise<boolean> {
  if (latest.sha256 === candidate.sha256) return true;
  try {
    const stored = await work.read(await store.bytes(schema_id, latest), []);
    return stored.unpacked_sha256 === candidate.unpacked_sha256;
  } catch (error) {
    if (error instanceof SchemaError) return false;
    // A damaged set equals no other set.
    if (error instanceof ArqonError && error.reason === "schema-unavailable") return false;
    throw error;
  }
}

/** The next version number; numbers of deleted ones are not reused. */
function nextVersion({ stored, buried }: Pick<Standing, "stored" | "buried">): number {
  const { deleted } = buried?.tombstone ?? {};
  return (stored === undefined ? deleted?.version ?? 0 : latestOf(stored.head).version) + 1;
}

/** The history with one more version, and how many of them are kept. */
function appended(
  { standing, request, check }: {
    readonly standing: Standing;
    readonly request: RegisterRequest;
    readonly check: CompatibilityCheck;
  },
  sha256: string,
): Required<HeadChange> {
  const { stored, buried } = standing;
  const { bytes, by, now_ms, versions_max } = request;
  const { deleted } = buried?.tombstone ?? {};
  const version = nextVersion(standing);
  const entry = { version, sha256, size_bytes: bytes.length, registered_ms: now_ms, by };
  const versions = [...stored?.head.versions ?? [], entry];
  const { compatibility } = check;
  const before = stored?.head ?? (deleted === undefined ? {} : { deleted });
  const head = { ...before, format: 1 as const, compatibility, versions };
  return { head, bytes, versions_max };
}

/** Whether another tool's put is unchanged since it was read. */
function isPending({ put_revision }: RegisterRequest, standing: Standing): boolean {
  if (put_revision === undefined) return true;
  return standing.set?.revision === put_revision && !isJudged(standing);
}

/**
 * Registers a version, or finds that the newest one is this set. Resolves to undefined if the put at `put_revision` was
 * replaced or judged meanwhile. Rejects with `invalid-schema`, `IncompatibleError`, and errors of the store.
 */
export async function registerPut(
  tools: RegisterTools,
  request: RegisterRequest,
): Promise<Registration | undefined> {
  const { store, work } = tools;
  const { schema_id, bytes } = request;
  const mapped = [...request.mapped ?? []];
  const { unpacked_sha256, missing } = await onSchema(work.read(bytes, mapped));
  const sha256 = sha256Of(bytes);
  let check: CompatibilityCheck = { compatibility: "NONE", against: [], findings: [] };
  let outcome: "new" | "same" | "over" = "new";
  const head = await store.change(schema_id, async (standing) => {
    const { stored } = standing;
    outcome = "over";
    if (!isPending(request, standing)) return undefined;
    if (
      stored !== undefined &&
      await isSameSet(tools, schema_id, latestOf(stored.head), { sha256, unpacked_sha256 })
    ) {
      outcome = "same";
      const compatibility = request.compatibility ?? stored.head.compatibility;
      check = { compatibility, against: [], findings: [] };
      return compatibility === stored.head.compatibility
        ? undefined
        : { head: { ...stored.head, compatibility } };
    }
    outcome = "new";
    const found = await checkCandidate(tools, schema_id, stored, bytes, request.compatibility);
    check = { ...found, findings: [...found.findings, ...missingMessages(missing, stored)] };
    if (errorsOf(check.findings).length > 0) throw new IncompatibleError(check);
    return appended({ standing, request, check }, sha256);
  });
  if (head === undefined || outcome as string === "over") return undefined;
  return { ...check, head, is_new: outcome === "new" };
}

/**
 * Registers a version for an operator, or finds that the newest one is this set. Either settles an earlier refusal.
 * Rejects as `registerPut` does.
 */
export async function register(
  tools: RegisterTools,
  request: Omit<RegisterRequest, "put_revision">,
): Promise<Registration> {
  const { store } = tools;
  const done = await registerPut(tools, request);
  if (done === undefined) throw new TypeError("a registered schema without a history");
  const { schema_id } = request;
  if (!done.is_new) await restore(store, schema_id);
  await store.pardon(schema_id);
  return done;
}

/**
 * Restores the current version for other tools, unless it is there or a put other than `judged` is still to be judged.
 * Resolves to whether it was missing.
 */
export async function restore(
  store: SchemaStore,
  schema_id: string,
  judged?: CheckedPut,
): Promise<boolean> {
  const standing = await store.standing(schema_id);
  if (!isJudged(standing) && standing.set?.revision !== judged?.revision) return false;
  const { stored, set, last } = standing;
  if (stored === undefined) return false;
  const latest = latestOf(stored.head);
  if (set?.sha256 === latest.sha256) return false;
  const bytes = await store.bytes(schema_id, latest);
  if (await store.putBack(schema_id, last, bytes) === undefined) return false;
  await store.settle(schema_id);
  return true;
}

/** Changes the compatibility of a schema without a comparison. Rejects with `schema-unknown`. */
export async function setCompatibility(
  store: SchemaStore,
  schema_id: string,
  compatibility: CompatibilityMode,
): Promise<SchemaRecord> {
  const head = await store.change(schema_id, ({ stored }) => {
    if (stored === undefined) throw new ArqonError("schema-unknown", JSON.stringify(schema_id));
    const { head } = stored;
    return head.compatibility === compatibility ? undefined : { head: { ...head, compatibility } };
  });
  if (head === undefined) throw new TypeError("a schema without a history");
  return head;
}

// A rollback makes the content of an earlier version the next version, so the history is complete. Nothing is
// compared: an operator rolls back because a later version was wrong.

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

// Of a deleted schema a tombstone stays, with who did it. So remains are not taken for a new schema, and a later
// schema gets version numbers never used before.

const NAMED_MAX = 4;

/** The refusal to delete a schema that subjects are mapped to; the mappings go into the problem body. */
export class MappedError extends Error {
  override readonly name = "MappedError";
  readonly mappings: readonly SchemaMapping[];

  constructor(schema_id: string, mappings: readonly SchemaMapping[]) {
    const named = mappings.slice(0, NAMED_MAX)
      .map(({ subject, message }) => `${subject} to ${message}`).join(", ");
    const more = mappings.length > NAMED_MAX ? ` and ${mappings.length - NAMED_MAX} more` : "";
    super(`${JSON.stringify(schema_id)} is mapped: ${named}${more}; unmap it first`);
    this.mappings = mappings;
  }
}

/** Which schema is deleted, and by whom. */
interface DeleteRequest {
  readonly schema_id: string;
  readonly by: string;
  /** Unix ms. */
  readonly now_ms: number;
  /** The mappings to the schema; read again at each attempt. */
  readonly mapped: () => readonly SchemaMapping[];
}

interface Deleted extends Deletion {
  readonly versions: number;
}

/**
 * Deletes the schema. If a crash leaves remains, the Shields that watch the buckets remove them. Rejects with
 * `schema-unknown`, `MappedError`, and as the store rejects.
 */
export async function deleteSchema(
  store: SchemaStore,
  { schema_id, by, now_ms, mapped }: DeleteRequest,
): Promise<Deleted> {
  return await changeDocument(async (mayLose) => {
    const standing = await store.standing(schema_id);
    const { stored, buried, set } = standing;
    if (stored === undefined) throw unknown(schema_id, buried);
    const mappings = mapped();
    if (mappings.length > 0) throw new MappedError(schema_id, mappings);
    const tombstone = tombstoneOf(standing, { by, deleted_ms: now_ms });
    await mayLose(store.bury(schema_id, stored, tombstone));
    if (set !== undefined) await store.clear(schema_id, set);
    await store.pardon(schema_id);
    const { versions } = stored.head;
    for (const version of versions) await store.forget(schema_id, version);
    return { ...tombstone.deleted, versions: versions.length };
  });
}

// Staged versions are stored before it is decided whether they are activated. No history names them, so nothing is
// checked against them. A decided apply (`shield/apply/`) activates them; those of a lost apply are swept
// (`sweep.ts`).

interface StageRequest {
  readonly schema_id: string;
  /** A gzipped FileDescriptorSet. */
  readonly bytes: Uint8Array;
  readonly compatibility: CompatibilityMode | undefined;
}

/** The stored version. */
interface Stage extends CompatibilityCheck {
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
