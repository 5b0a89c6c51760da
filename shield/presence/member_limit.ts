/** The refusal of a member where there are as many as allowed. Who counts them is the caller's matter. */
import { plural } from "../../shared/plural.ts";
import { ArqonError } from "@arqon/proto";

/** What a client is told to wait, in ms. */
const RETRY_MS = 1_000;

/** Throws `member-limit` (429) unless `count` is below `max`. `where` has no secrets. */
export function requireBelow(count: number, max: number, where: string): void {
  if (count < max) return;
  const detail = `${where} has ${plural(max, "member")}`;
  throw new ArqonError("member-limit", detail, { retry_after_ms: RETRY_MS });
}
