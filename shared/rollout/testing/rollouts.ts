/** Rollouts for tests. Not for product code. */
import { type Rollout, sharesFrom } from "../rollout.ts";

/** A rollout of the policy `p` that has just begun, except for `more`. */
export function rolloutOf(more: Partial<Rollout> = {}): Rollout {
  return {
    format: 1,
    id: "0123456789abcdef0123456789abcdef",
    by: "root",
    began_ms: 0,
    basis: { settings: 1, policies: 1 },
    base_version: 1,
    policies: [{ name: "p" }],
    changed: ["p"],
    shares: sharesFrom(0.5),
    hold_ms: 1_000,
    at_least: 10,
    conditions: [],
    state: "running",
    stage: 0,
    stage_ms: 0,
    past: [],
    ...more,
  };
}
