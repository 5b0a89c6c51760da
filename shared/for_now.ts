/** Refusals for now: too many requests, or a dependency that is unavailable or late. */
import { type ArqonError, ruleOf } from "@arqon/proto";

/**
 * Whether the same request may be accepted later. The reason's own code says it: a policy refuses with whatever code
 * it likes.
 */
export function isForNow({ reason }: Pick<ArqonError, "reason">): boolean {
  const { code } = ruleOf(reason);
  return code === 408 || code === 429 || code >= 500;
}
