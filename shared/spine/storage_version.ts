/**
 * Which versions of ArqonBus may run on what is stored. One record beside the storage says its version and the oldest
 * version that may run; a process checks it before it reads anything else. A version grows when an older ArqonBus would
 * read something wrongly; single records of a newer form are refused one by one (`shared/records/stored.ts`).
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { Logger } from "../logs/log.ts";
import { VERSION } from "../version.ts";
import { isConflict } from "./contract/compare_and_set.ts";
import type { Spine } from "./contract/spine.ts";
import { STORAGE_BUCKET } from "./contract/storage_plan.ts";

const KEY = ["version"];
const ATTEMPTS = 8;

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

async function check(spine: Pick<Spine, "keyValue">, own: StorageVersions): Promise<void> {
  const bucket = await spine.keyValue(STORAGE_BUCKET);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const entry = await bucket.get(KEY);
    let before: z.output<typeof Stored> | undefined;
    if (entry !== undefined) {
      before = Stored.parse(JSON.parse(new TextDecoder().decode(entry.value)));
      const refusal = refusalOf(before, own);
      if (refusal !== undefined) throw new ArqonError("incompatible-version", refusal);
      if (before.storage >= own.storage) return;
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
 * when this release may not run on it. A storage that takes no write is the readiness check's matter.
 */
export async function requireStorageVersion(
  spine: Pick<Spine, "keyValue">,
  log: Logger,
  own: StorageVersions = STORAGE,
): Promise<void> {
  try {
    await check(spine, own);
  } catch (error) {
    if (error instanceof ArqonError && error.reason === "incompatible-version") throw error;
    log.warn("the version of the storage is not known", { error });
  }
}
