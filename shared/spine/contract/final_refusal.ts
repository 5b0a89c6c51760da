/**
 * Distinguishes a write that is always refused from one that may succeed later: a queue sets the first kind aside,
 * because it would block everything behind it.
 */
import { ArqonError } from "@arqon/proto";

/** Codes that a retry may change: timeout, conflict, too many requests. */
const PASSING: readonly number[] = [408, 409, 429];

/** Whether a retry would be refused the same way. */
export const isFinalRefusal = (error: unknown): boolean =>
  error instanceof ArqonError && error.code < 500 && !PASSING.includes(error.code);
