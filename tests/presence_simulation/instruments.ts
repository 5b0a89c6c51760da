/**
 * Metrics and log of the simulated processes. All worlds of a program share one registry: creating the metrics for each
 * process would cost more than its simulation.
 */
import { createBrainPresenceMetrics } from "../../brain/presence/metrics.ts";
import { createRingMetrics } from "../../brain/ring/ring.ts";
import { keptLog } from "../../shared/testing/logs.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { createPresenceStats } from "../../shield/presence/stats.ts";

const registry = new Registry();

/** Shared by all simulated Brains. */
export const BRAIN_METRICS = createBrainPresenceMetrics(registry, () => 0);
/** Shared by the rings of all simulated Brains. */
export const RING_METRICS = createRingMetrics(registry);
/** Shared by all simulated Shields. */
export const SHIELD_STATS = createPresenceStats();

let write: (line: string) => void = () => {};

/** Shows the log lines of all machines from now on. */
export function showLog(to: (line: string) => void): void {
  write = to;
}

/** Silent unless `showLog` was called. */
export const LOG = keptLog({ level: "warn", now: () => 0, write: (line) => write(line) }).log;
