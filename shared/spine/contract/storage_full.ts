/** The error of a write to full storage: a retry fails until there is room. */
import { ArqonError, type Reason } from "@arqon/proto";

/** `detail` names what is full and the remedy. Of a log the reason is `log-unavailable`. */
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
