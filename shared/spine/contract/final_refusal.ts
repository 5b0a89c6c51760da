/**
 * Tells a write that is refused for what it is from one that may be stored later: a queue sets the first aside, or
 * it would stand before everything behind it.
 */
import { ArqonError } from "@arqon/proto";

/** Codes that another try may turn into another answer: timeout, conflict, too many. */
const PASSING: readonly number[] = [408, 409, 429];

/** Whether another try would be refused the same way. */
export const isFinalRefusal = (error: unknown): boolean =>
  error instanceof ArqonError && error.code < 500 && !PASSING.includes(error.code);
