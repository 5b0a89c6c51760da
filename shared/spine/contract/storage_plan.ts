/**
 * Divides the storage of the NATS servers: shares of the control buckets, the bound of a bucket, and warnings about
 * overcommitment. Pure; `nats_storage.ts` queries the servers.
 */
import type { StorageReport } from "./spine.ts";

/** The bucket of records about the storage itself. */
export const STORAGE_BUCKET = "ARQON_STORAGE";

/**
 * The metadata of that bucket's stream while a restore is under way on NATS, and after one that was cut off: the
 * streams that were there before and stay, as JSON. No bus starts on it.
 */
export const RESTORE_KEY = "arqon-restore";
/** Why no bus starts there. */
export const RESTORE_CUT_OFF =
  "a restore of this storage is under way or was cut off: repeat it with arq restore --force";

/** What to do when there is too little storage. */
export const STORAGE_REMEDY =
  "give it more (max_file_store of the NATS servers, max_file of the account), or lower " +
  "[durable] log_bytes, [nats] control_bytes or the number of tenants with durable rooms";

/** Parts of 128 of `[nats] control_bytes`. */
const PARTS: Readonly<Record<string, number>> = {
  ARQON_ROOMS: 64,
  ARQON_BANS: 8,
  ARQON_MODULES: 16,
  ARQON_SCHEMAS: 8,
  ARQON_SCHEMAS_VERSIONS: 8,
  ARQON_JOURNAL_KEYS: 8,
  ARQON_REVOCATIONS: 4,
  ARQON_POLICIES: 4,
  ARQON_TENANTS: 4,
  ARQON_LOGS: 2,
  ARQON_POLICY_VERDICTS: 1,
  ARQON_POLICY_QUARANTINE: 1,
};
const ALL_PARTS = 128;
/** The parts of any other bucket, for example another `[platform.registry] kv_bucket`. */
const OTHER_PARTS = 2;
/** The smallest bound of a bucket: a few hundred entries. */
export const BUCKET_BYTES_MIN = 65_536;
/** The smallest bound of a ledger, and of a store with a requested size. */
export const LEDGER_BYTES_MIN = 1_048_576;
/** The largest part of a small storage for anything but messages. */
const CONTROL_PART = 1 / 4;
/** The largest part for a ledger, or a store with a requested size. */
const LEDGER_PART = 1 / 8;
/** If the storage refuses a bound, the next request is this many times smaller. */
const STEP = 8;

/** The budget of all control buckets: `control_bytes`, or less on a small storage. */
export function controlBudget(control_bytes: number, total_bytes: number | undefined): number {
  if (total_bytes === undefined) return control_bytes;
  return Math.min(control_bytes, Math.floor(total_bytes * CONTROL_PART));
}

/** The smallest storage that leaves the control buckets all of `control_bytes`. */
export const roomyBytes = (control_bytes: number): number => control_bytes / CONTROL_PART;

/** The share of one bucket or object store of the budget. */
export function bucketShare(bucket: string, budget_bytes: number): number {
  const parts = PARTS[bucket] ?? OTHER_PARTS;
  return Math.max(BUCKET_BYTES_MIN, Math.floor(budget_bytes * parts / ALL_PARTS));
}

/** The next bound to ask for when there is no room for this one. */
export function smaller(bound_bytes: number): number {
  return Math.max(BUCKET_BYTES_MIN, Math.floor(bound_bytes / STEP));
}

/** The bound of a ledger, or a store, that requests `wanted_bytes`. */
export function ledgerShare(wanted_bytes: number, total_bytes: number | undefined): number {
  if (total_bytes === undefined) return wanted_bytes;
  const part = Math.floor(total_bytes * LEDGER_PART);
  return Math.min(wanted_bytes, Math.max(LEDGER_BYTES_MIN, part));
}

/**
 * The new bound of a ledger with the bound `bound_bytes` (0 or less: none), `used_bytes` in use and `asked_bytes`
 * requested. Its oldest entries are removed only if the request is smaller.
 */
export function ledgerBound(
  bound_bytes: number,
  used_bytes: number,
  asked_bytes: number,
  share_bytes: number,
): number {
  const kept_bytes = bound_bytes > 0 ? bound_bytes : 2 * used_bytes;
  return Math.min(asked_bytes, Math.max(kept_bytes, share_bytes));
}

/**
 * The new bound of a bucket with the bound `bound_bytes` (0 or less: none) and `used_bytes` in use. A well-filled
 * bucket keeps room to grow; no bucket shrinks until it is nearly full.
 */
export function bucketBound(bound_bytes: number, used_bytes: number, share_bytes: number): number {
  const roomy_bytes = Math.max(share_bytes, 2 * used_bytes);
  if (bound_bytes <= 0) return roomy_bytes;
  if (bound_bytes < share_bytes) return share_bytes;
  return roomy_bytes === share_bytes ? share_bytes : bound_bytes;
}

/** What a starting process needs of the storage. */
export interface StorageWish {
  /** `[durable] log_bytes`. */
  readonly log_bytes: number;
  /** `[durable] tenants`, or the number of configured tenants that may have durable rooms; 0: any. */
  readonly tenants: number;
  /** `[durable] shared_streams`, `shared_bytes` and `shared_tenant_bytes`; absent: tenants share none. */
  readonly shared?: {
    readonly streams: number;
    readonly bytes: number;
    readonly tenant_bytes: number;
  };
}

/** Promised bytes: the bounds of the existing streams, and of those that the configuration will still need. */
export function promisedBytes(report: StorageReport, wish: StorageWish): number {
  const { log_bytes, tenants, shared } = wish;
  if (shared !== undefined) {
    const missing = Math.max(0, shared.streams - report.shared_streams);
    return report.promised_bytes + missing * shared.bytes;
  }
  return report.promised_bytes + Math.max(0, tenants - report.logs) * log_bytes;
}

/** A hash does not spread tenants evenly: the fullest shared stream has this many times the mean. */
const UNEVEN = 1.2;

/** The problem if the tenants' guaranteed bytes exceed the reserved half of the shared streams. */
function sharedProblem({ tenants, shared }: StorageWish): string | undefined {
  if (shared === undefined) return undefined;
  const { streams, bytes, tenant_bytes } = shared;
  const sure = Math.ceil(UNEVEN * tenants / streams) * tenant_bytes;
  if (sure <= bytes / 2) return undefined;
  return `${tenants} tenants share ${streams} streams, where each is sure of shared_tenant_bytes = ` +
    `${tenant_bytes}: that is up to ${sure} bytes in one, and half of shared_bytes = ${bytes} is for ` +
    "it; raise [durable] shared_bytes, or lower tenants";
}

const NAMED = 5;

/** One sentence with the storage's problem and the remedy; undefined: no known problem. */
export function storageProblem(report: StorageReport, wish: StorageWish): string | undefined {
  const { unbounded, limit_bytes, logs } = report;
  if (unbounded.length > 0) {
    const some = unbounded.slice(0, NAMED).join(", ");
    const more = unbounded.length > NAMED ? ` and ${unbounded.length - NAMED} more` : "";
    return `nothing bounds ${some}${more}: who opens one bounds it, if NATS has the room; ` +
      STORAGE_REMEDY;
  }
  const uneven = sharedProblem(wish);
  if (uneven !== undefined || limit_bytes === undefined) return uneven;
  const promised = promisedBytes(report, wish);
  const of = `${promised} bytes are promised of the ${limit_bytes} that there are`;
  if (promised > limit_bytes) {
    const tenants = Math.max(wish.tenants, logs);
    if (wish.shared !== undefined) {
      const { streams, bytes } = wish.shared;
      return `${of} (${streams} shared streams with shared_bytes = ${bytes} each, ${logs} tenants' own ` +
        `logs, and control data); ${STORAGE_REMEDY}`;
    }
    return `${of} (${tenants} tenants with log_bytes = ${wish.log_bytes} each, and control data); ${STORAGE_REMEDY}`;
  }
  if (wish.tenants > 0 || wish.shared !== undefined || promised + wish.log_bytes <= limit_bytes) {
    return undefined;
  }
  return `${of}, and one more tenant needs log_bytes = ${wish.log_bytes}; ${STORAGE_REMEDY}`;
}
