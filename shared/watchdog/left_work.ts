/**
 * Work that a process leaves when it dies, and that others claim. Where two have left it in the middle, it may be
 * what they died of, and is set aside. Who marks what he claims, and where, is up to each kind of work.
 */
import type { Config } from "../config/schema.ts";

/** The least of `leftMs`: a process that lives says more often that it has the work, in ms. */
const LEFT_MIN_MS = 30_000;

/** How long work that was claimed is untouched until whoever has it is taken for dead, in ms. */
export function leftMs({ watchdog: { stall_ms } }: Pick<Config, "watchdog">): number {
  // One that hangs has it until it kills itself.
  return Math.max(LEFT_MIN_MS, 2 * stall_ms);
}
