/**
 * Changes a stored value by compare-and-set: reads it, computes the new value, writes it against the revision that was
 * read, and retries after a conflict. The caller defines and validates the value; there is no delay between attempts.
 */
import { ArqonError } from "@arqon/proto";
import type { KvKey } from "./spine.ts";

/** With n concurrent writers the last one succeeds at its n-th attempt, so this is the most there may be. */
const ATTEMPTS = 64;

/** True for the error of a compare-and-set that lost. */
export function isConflict(error: unknown): boolean {
  return error instanceof ArqonError && error.reason === "version-conflict";
}

/** The error of a compare-and-set of a key whose revision is another one; 0: there is no such key. */
export const conflictAt = (key: KvKey, revision: number): ArqonError =>
  new ArqonError("version-conflict", `${revision} (${JSON.stringify(key)})`);

/** Awaits the write of an attempt: only a `version-conflict` of this write causes a retry. */
type MayLose = <Written>(write: Promise<Written>) => Promise<Written>;

/** How many attempts, and the error after the last. */
interface ChangeOptions {
  /** Attempts at most. */
  readonly attempts?: number;
  /** What it rejects with when the last attempt lost as well; absent: with its `version-conflict`. */
  readonly overtaken?: (attempts: number) => ArqonError;
}

/**
 * Resolves with the result of `attempt`, which reads, decides, and writes through `mayLose`; it is called again after a
 * conflict of that write. Rejects at once with any other error of `attempt`.
 */
export async function changeDocument<Result>(
  attempt: (mayLose: MayLose) => Promise<Result>,
  { attempts = ATTEMPTS, overtaken }: ChangeOptions = {},
): Promise<Result> {
  let lost: unknown;
  const mayLose: MayLose = async (write) => {
    try {
      return await write;
    } catch (error) {
      if (isConflict(error)) lost = error;
      throw error;
    }
  };
  for (let turn = 1;; turn++) {
    try {
      return await attempt(mayLose);
    } catch (error) {
      if (lost === undefined || error !== lost) throw error;
      if (turn >= attempts) throw overtaken?.(attempts) ?? error;
    }
  }
}
