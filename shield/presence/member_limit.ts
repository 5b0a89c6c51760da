/** The refusal of a member where there are as many as allowed. The caller counts them. */
import { plural } from "../../shared/plural.ts";
import { ArqonError } from "@arqon/proto";

/** How long a refused client is told to wait, in ms. */
const RETRY_MS = 1_000;

/**
 * Throws `member-limit` (429) unless `count` is below `max`. `where` names the place for the client and
 * holds no secrets.
 */
export function requireBelow(count: number, max: number, where: string): void {
  if (count < max) return;
  const detail = `${where} has ${plural(max, "member")}`;
  throw new ArqonError("member-limit", detail, { retry_after_ms: RETRY_MS });
}
