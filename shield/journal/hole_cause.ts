/** Why decisions are missing, by what the store answered. */
import { ArqonError } from "@arqon/proto";
import { isFinalRefusal } from "../../shared/spine/contract/final_refusal.ts";
import { StorageFull } from "../../shared/spine/contract/storage_full.ts";
import type { HoleCause } from "./metrics.ts";

/** The cause of a hole after that refusal. */
export function causeOf(error: unknown): HoleCause {
  if (isFinalRefusal(error)) return "queue-full";
  // Also the keys of users may have found no room.
  const is_full = error instanceof StorageFull ||
    (error instanceof ArqonError && error.reason === "log-unavailable");
  return is_full ? "storage-full" : "unavailable";
}
