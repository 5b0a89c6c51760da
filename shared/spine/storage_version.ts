/**
 * Which versions of ArqonBus may run on the stored data. One record has the storage version and the oldest version that
 * may run; a process checks it before it reads anything else. The version is raised when an older ArqonBus would
 * misread data; single records of a newer format are refused one by one (`shared/records/stored.ts`).
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { readStored, storedBytes } from "../records/stored.ts";
import { VERSION } from "../version.ts";
import { changeDocument } from "./contract/compare_and_set.ts";
import type { KeyValue, Spine } from "./contract/spine.ts";
import { STORAGE_BUCKET } from "./contract/storage_plan.ts";

const KEY = ["version"];
/** Interval between reads of a storage that does not answer, in ms. */
const RETRY_MS = 100;
/** How long a starting process waits for a remote storage, in ms. */
export const STORAGE_WAIT_MS = 30_000;

const Stored = z.object({
  /** The storage version: the newest that has run on the data. */
  storage: z.int().min(1),
  /** The oldest version that may run on it. */
  oldest: z.int().min(1),
  /** The release that wrote this record, for people. */
  by: z.string().max(100),
});

/** The storage versions of one release. */
export interface StorageVersions {
  /** The version that it writes. */
  readonly storage: number;
  /** The oldest version that may run beside it, or later on its data. */
  readonly oldest: number;
  /** The oldest version that it can read. */
  readonly reads: number;
  /** The release. */
  readonly by: string;
}

/** The versions of this release. */
export const STORAGE: StorageVersions = { storage: 1, oldest: 1, reads: 1, by: VERSION };

/** One line why this release may not run on that storage; undefined: it may. */
function refusalOf(found: z.output<typeof Stored>, own: StorageVersions): string | undefined {
  const here = `this is ArqonBus ${own.by}`;
  if (found.oldest > own.storage) {
    return `the storage has version ${found.storage} and runs with ${found.oldest} or newer, ${here} with ` +
      `version ${own.storage}: start ArqonBus ${found.by} or newer, or restore a backup from before the upgrade`;
  }
  if (found.storage >= own.reads) return undefined;
  return `the storage has version ${found.storage}, ${here}, which reads ${own.reads} or newer: start a release ` +
    `between ArqonBus ${found.by} and this one first, which raises it (docs/upgrade.md)`;
}

async function check(bucket: KeyValue, own: StorageVersions): Promise<void> {
  // Another process may be starting concurrently.
  await changeDocument(async (mayLose) => {
    const entry = await bucket.get(KEY);
    const before = entry && readStored(entry.value, Stored, "storage version");
    if (entry !== undefined) {
      const refusal = before === undefined
        ? `the record of the storage's version is unknown: key ${KEY} of ${STORAGE_BUCKET}; restore a backup`
        : refusalOf(before, own);
      if (refusal !== undefined) throw new ArqonError("incompatible-version", refusal);
    }
    if (before !== undefined && before.storage >= own.storage) return;
    const { storage, by } = own;
    const value = storedBytes({ storage, oldest: Math.max(before?.oldest ?? 1, own.oldest), by });
    await mayLose(bucket.update(KEY, value, entry?.revision ?? 0));
  });
}

/**
 * Raises the storage to this release's version before any other read. Rejects with `incompatible-version` if this
 * release may not run on it, and with the storage's error if it does not answer for `within_ms`.
 */
export async function requireStorageVersion(
  spine: Pick<Spine, "keyValue">,
  within_ms: number,
  own: StorageVersions = STORAGE,
): Promise<void> {
  let bucket: KeyValue | undefined;
  let is_late = within_ms === 0;
  const timer = setTimeout(() => is_late = true, within_ms);
  try {
    for (;;) {
      try {
        // Opening a bucket has its own retries.
        bucket ??= await spine.keyValue(STORAGE_BUCKET);
        return await check(bucket, own);
      } catch (error) {
        if (!(error instanceof ArqonError) || error.reason === "incompatible-version") throw error;
        if (is_late || bucket === undefined) throw unreadable(error);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  } finally {
    clearTimeout(timer);
  }
}

function unreadable(cause: ArqonError): ArqonError {
  const detail = `the storage's version cannot be read: ${cause.message}`;
  return new ArqonError("spine-unavailable", detail, { cause });
}
