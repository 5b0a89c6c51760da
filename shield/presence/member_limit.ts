/** The refusal of a member beyond the limit. The caller counts them. */
import { plural } from "../../shared/plural.ts";
import { ArqonError } from "@arqon/proto";

/** The retry time of a refused client, in ms. */
const RETRY_MS = 1_000;

/**
 * Throws `member-limit` (429) unless `count` is below `max`. `where` names the limit for the client and contains no
 * secrets.
 */
export function requireBelow(count: number, max: number, where: string): void {
  if (count < max) return;
  const detail = `${where} has ${plural(max, "member")}`;
  throw new ArqonError("member-limit", detail, { retry_after_ms: RETRY_MS });
}
