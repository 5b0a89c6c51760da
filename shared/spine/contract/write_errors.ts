/** Errors of writes to the Spine: which a retry may not change, and those of full storage. */
import { ArqonError, type Reason } from "@arqon/proto";

/**
 * Full storage: a retry fails until there is room. `detail` names what is full and the remedy. Of a log the reason is
 * `log-unavailable`.
 */
export class StorageFull extends ArqonError {
  constructor(
    detail: string,
    { reason = "spine-unavailable", ...options }: {
      readonly cause?: unknown;
      readonly reason?: Extract<Reason, "spine-unavailable" | "log-unavailable">;
    } = {},
  ) {
    super(reason, detail, options);
  }
}

/** Why a log, or a store of blocks, is unavailable: a `StorageFull` when it is full. */
export function logUnavailable(detail: string, is_full: boolean, cause: unknown): ArqonError {
  const about = { cause, reason: "log-unavailable" } as const;
  return is_full ? new StorageFull(detail, about) : new ArqonError(about.reason, detail, about);
}

/** Codes that a retry may change: timeout, conflict, too many requests. */
const PASSING: readonly number[] = [408, 409, 429];

/** Whether a retry would be refused the same way: a queue sets such a write aside, as it would block all behind it. */
export const isFinalRefusal = (error: unknown): boolean =>
  error instanceof ArqonError && error.code < 500 && !PASSING.includes(error.code);
