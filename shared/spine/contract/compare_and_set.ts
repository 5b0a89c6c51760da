/**
 * Changes what is stored by compare-and-set: reads it, makes of it what is to be, writes that against
 * the revision that was read, and begins anew when somebody else was faster. What is stored, and what
 * may not be done to it, is the caller's business; nothing here waits between two attempts.
 */
import { ArqonError } from "@arqon/proto";

/** With n writers at once the last one succeeds at its n-th attempt, so this is how many there may be. */
const ATTEMPTS = 64;

/** True for the refusal of a compare-and-set that came too late. */
export function isConflict(error: unknown): boolean {
  return error instanceof ArqonError && error.reason === "version-conflict";
}

/** Awaits the write of an attempt: the one whose `version-conflict` is the reason for another. */
export type MayLose = <Written>(write: Promise<Written>) => Promise<Written>;

/** How often, and what then. */
export interface ChangeOptions {
  /** Attempts at most. */
  readonly attempts?: number;
  /** What it rejects with when the last attempt lost as well; absent: with its `version-conflict`. */
  readonly overtaken?: (attempts: number) => ArqonError;
}

/**
 * Resolves with what `attempt` does: it reads, decides and writes, the write by `mayLose`, and is
 * called again whenever that lost. Rejects with whatever else it rejects with, at once.
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
