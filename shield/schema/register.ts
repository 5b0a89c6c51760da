/**
 * Registers versions: reads what was sent, holds it to the versions before it, and writes it. What a
 * good descriptor set is and which changes are compatible is `shared/schema/`; where versions are
 * kept is `store.ts`.
 */
import { ArqonError } from "@arqon/proto";
import { checkHistory } from "../../shared/schema/compat.ts";
import { readDescriptorSet } from "../../shared/schema/descriptor_set.ts";
import type { DescriptorSet } from "../../shared/schema/descriptor_set.ts";
import {
  errorsOf,
  type Finding,
  FindingCollector,
  formatFinding,
  isTransitive,
} from "../../shared/schema/findings.ts";
import type { CompatibilityMode } from "../../shared/schema/findings.ts";
import { SchemaError } from "../../shared/schema/schema_error.ts";
import { DEFAULT_COMPATIBILITY, latestOf, sha256Of } from "./head.ts";
import type { SchemaHead, SchemaVersion } from "./head.ts";
import type { SchemaStore, StoredHead } from "./store.ts";

/** How findings name a version that has no number yet. */
const CANDIDATE = "candidate";

/** What a candidate was held to, and what came of it. */
export interface CompatibilityCheck {
  readonly compatibility: CompatibilityMode;
  /** Version numbers that it was compared with, the newest first. */
  readonly against: readonly number[];
  /** Errors first. Without an error the version may be registered. */
  readonly findings: readonly Finding[];
}

/** A version that was registered, or was there. */
export interface Registration extends CompatibilityCheck {
  readonly head: SchemaHead;
  /** False when the newest version had these bytes already. */
  readonly is_new: boolean;
}

/** A version that is not compatible; the findings go into the problem body. */
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

/** Who registers what. */
export interface RegisterRequest {
  readonly schema_id: string;
  /** A gzipped FileDescriptorSet. */
  readonly bytes: Uint8Array;
  /** The mode from now on; absent: the stored one, for a new schema BACKWARD. */
  readonly compatibility?: CompatibilityMode | undefined;
  readonly by: string;
  /** Unix ms. */
  readonly now_ms: number;
  /** Versions that are kept. */
  readonly versions_max: number;
}

/** The set in `bytes`. Throws `invalid-schema` with what is wrong. */
export function readUpload(bytes: Uint8Array): DescriptorSet {
  try {
    return readDescriptorSet(bytes);
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new ArqonError("invalid-schema", cause.message, { cause });
  }
}

/** Holds a candidate to what is stored. Rejects with what the store says. */
export async function checkCandidate(
  store: SchemaStore,
  schema_id: string,
  stored: StoredHead | undefined,
  candidate: DescriptorSet,
  mode?: CompatibilityMode,
): Promise<CompatibilityCheck> {
  const compatibility = mode ?? stored?.head.compatibility ?? DEFAULT_COMPATIBILITY;
  if (stored === undefined || compatibility === "NONE") {
    return { compatibility, against: [], findings: [] };
  }
  const { versions } = stored.head;
  const compared = isTransitive(compatibility) ? versions.toReversed() : versions.slice(-1);
  const collector = new FindingCollector();
  // One after the other: a thousand unpacked sets at a time would be a thousand times too many.
  for (const version of compared) {
    collector.add(await compareWith(store, { schema_id, stored, version }, candidate, mode));
  }
  const against = compared.map(({ version }) => version);
  return { compatibility, against, findings: collector.sorted() };
}

async function compareWith(
  store: SchemaStore,
  { schema_id, stored, version }: {
    readonly schema_id: string;
    readonly stored: StoredHead;
    readonly version: SchemaVersion;
  },
  candidate: DescriptorSet,
  mode = stored.head.compatibility,
): Promise<Finding[]> {
  const bytes = await store.bytes(schema_id, stored, version);
  const earlier = { version: String(version.version), schema: readStored(version, bytes).registry };
  return checkHistory([earlier], { version: CANDIDATE, schema: candidate.registry }, mode);
}

/** What was registered once may be refused by this version of the Shield. */
function readStored({ version }: SchemaVersion, bytes: Uint8Array): DescriptorSet {
  try {
    return readDescriptorSet(bytes);
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new ArqonError(
      "invalid-schema",
      `the stored version ${version} cannot be compared with: ${cause.message}; ` +
        "compatibility NONE compares with nothing",
      { cause },
    );
  }
}

/**
 * Registers a version, or finds that the newest one has these bytes. Rejects with `invalid-schema`,
 * `IncompatibleError`, and what the store says.
 */
export async function register(
  store: SchemaStore,
  request: RegisterRequest,
): Promise<Registration> {
  const { schema_id, bytes, by, now_ms, versions_max } = request;
  const candidate = readUpload(bytes);
  const sha256 = sha256Of(bytes);
  let check: CompatibilityCheck = { compatibility: "NONE", against: [], findings: [] };
  let is_new = true;
  let dropped: readonly SchemaVersion[] = [];
  const head = await store.change(schema_id, async (stored) => {
    const latest = stored === undefined ? undefined : latestOf(stored.head);
    is_new = latest?.sha256 !== sha256;
    if (!is_new && stored !== undefined) {
      const compatibility = request.compatibility ?? stored.head.compatibility;
      check = { compatibility, against: [], findings: [] };
      if (compatibility === stored.head.compatibility) return undefined;
      return { head: { ...stored.head, compatibility } };
    }
    check = await checkCandidate(store, schema_id, stored, candidate, request.compatibility);
    if (errorsOf(check.findings).length > 0) throw new IncompatibleError(check);
    const version = (latest?.version ?? 0) + 1;
    const entry = { version, sha256, size_bytes: bytes.length, registered_ms: now_ms, by };
    const all = [...stored?.head.versions ?? [], entry];
    dropped = all.slice(0, -versions_max);
    const { compatibility } = check;
    const versions = all.slice(-versions_max);
    return { head: { ...stored?.head, format: 1, compatibility, versions }, bytes };
  });
  if (head === undefined) throw new TypeError("a registered schema without a history");
  for (const version of dropped) await store.forget(schema_id, version);
  return { ...check, head, is_new };
}

/** Changes how a schema is held to its past, and compares nothing. Rejects with `schema-unknown`. */
export async function setCompatibility(
  store: SchemaStore,
  schema_id: string,
  compatibility: CompatibilityMode,
): Promise<SchemaHead> {
  const head = await store.change(schema_id, (stored) => {
    if (stored === undefined) throw new ArqonError("schema-unknown", JSON.stringify(schema_id));
    if (stored.head.compatibility === compatibility) return Promise.resolve(undefined);
    return Promise.resolve({ head: { ...stored.head, compatibility } });
  });
  if (head === undefined) throw new TypeError("a schema without a history");
  return head;
}
