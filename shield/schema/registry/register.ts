/**
 * Registers versions: reads a set, compares it with earlier versions, and stores it. `shared/schema/` defines valid
 * descriptor sets and compatible changes; `store.ts` stores versions.
 */
import { ArqonError } from "@arqon/proto";
import {
  errorsOf,
  type Finding,
  FindingCollector,
  FINDINGS_MAX,
  formatFinding,
  isTransitive,
} from "../../../shared/schema/compatibility/findings.ts";
import type { CompatibilityMode } from "../../../shared/schema_id.ts";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import { DEFAULT_COMPATIBILITY, latestOf, sha256Of } from "./schema_record.ts";
import type { CheckedPut, SchemaRecord, SchemaVersion } from "./schema_record.ts";
import { CANDIDATE } from "./set_jobs.ts";
import type { SetWork } from "./set_work.ts";
import { isJudged, type Standing, type StoredHead } from "./stored_set.ts";
import type { HeadChange, SchemaStore } from "./store.ts";

/** The comparison of a candidate, and its result. */
export interface CompatibilityCheck {
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

/** The dependencies of a registration. */
export interface RegisterTools {
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
export async function isSameSet(
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
export function nextVersion({ stored, buried }: Pick<Standing, "stored" | "buried">): number {
  const { deleted } = buried?.tombstone ?? {};
  return (stored === undefined ? deleted?.version ?? 0 : latestOf(stored.head).version) + 1;
}

/** The history with one more version, and how many of them are kept. */
export function appended(
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
