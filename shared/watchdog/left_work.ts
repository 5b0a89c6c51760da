/**
 * Work of a dead process that others claim. If two processes have died while they had it, it may be the cause, and is
 * set aside. Each kind of work marks its claims itself.
 */
import type { Config } from "../config/schema.ts";

/** The minimum of `leftMs`, in ms: a live process renews its claim more often. */
const LEFT_MIN_MS = 30_000;

/** The time without a renewal after which the claimant counts as dead, in ms. */
export function leftMs({ watchdog: { stall_ms } }: Pick<Config, "watchdog">): number {
  // A hanging process keeps it until it kills itself.
  return Math.max(LEFT_MIN_MS, 2 * stall_ms);
}
