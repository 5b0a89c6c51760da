/**
 * Which versions of ArqonBus may run on what is stored. One record beside the storage says its version and the oldest
 * version that may run; a process checks it before it reads anything else. A version grows when an older ArqonBus would
 * read something wrongly; single records of a newer form are refused one by one (`shared/records/stored.ts`).
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { readStored } from "../records/stored.ts";
import { VERSION } from "../version.ts";
import { isConflict } from "./contract/compare_and_set.ts";
import type { KeyValue, Spine } from "./contract/spine.ts";
import { STORAGE_BUCKET } from "./contract/storage_plan.ts";

const KEY = ["version"];
const ATTEMPTS = 8;
/** Between two questions to a storage that cannot be read, in ms. */
const RETRY_MS = 100;
/** How long a process that starts waits for a storage that others serve, in ms. */
export const STORAGE_WAIT_MS = 30_000;

const Stored = z.object({
  /** The version of what is stored: the newest that has run on it. */
  storage: z.int().min(1),
  /** The oldest that may run on it. */
  oldest: z.int().min(1),
  /** The release that wrote this, for people. */
  by: z.string().max(100),
});

/** What one release writes and reads. */
export interface StorageVersions {
  /** The version of what it writes. */
  readonly storage: number;
  /** The oldest that may run beside it, or after it on what it wrote. */
  readonly oldest: number;
  /** The oldest that it reads. */
  readonly reads: number;
  /** The release. */
  readonly by: string;
}

/** Those of this release. */
export const STORAGE: StorageVersions = { storage: 1, oldest: 1, reads: 1, by: VERSION };

/** Why this release may not run on that storage, in one line; undefined: it may. */
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
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const entry = await bucket.get(KEY);
    let before: z.output<typeof Stored> | undefined;
    if (entry !== undefined) {
      before = readStored(entry.value, Stored, "storage version");
      const refusal = before === undefined
        ? `the record of the storage's version is unknown: key ${KEY} of ${STORAGE_BUCKET}; restore a backup`
        : refusalOf(before, own);
      if (refusal !== undefined) throw new ArqonError("incompatible-version", refusal);
      if (before !== undefined && before.storage >= own.storage) return;
    }
    const { storage, by } = own;
    const next = { storage, oldest: Math.max(before?.oldest ?? 1, own.oldest), by };
    const value = new TextEncoder().encode(JSON.stringify(next));
    try {
      await bucket.update(KEY, value, entry?.revision ?? 0);
      return;
    } catch (error) {
      // Another process starts at this moment.
      if (!isConflict(error)) throw error;
    }
  }
}

/**
 * Raises what is stored to this release's version, before anything of it is read. Rejects with `incompatible-version`
 * when this release may not run on it, and with what the storage says when it answers nothing for `within_ms`.
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
        // To open a bucket waits for itself.
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
