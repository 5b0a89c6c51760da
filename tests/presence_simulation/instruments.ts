/**
 * Metrics and log of the simulated processes. All of a program's worlds share one registry: making
 * the metrics anew for each process would cost more than its simulation.
 */
import { createBrainPresenceMetrics } from "../../brain/presence/metrics.ts";
import { createLogger } from "../../shared/logs/log.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { createPresenceStats } from "../../shield/presence/stats.ts";

const registry = new Registry();

/** For every simulated Brain. */
export const BRAIN_METRICS = createBrainPresenceMetrics(registry, () => 0);
/** For every simulated Shield. */
export const SHIELD_STATS = createPresenceStats();

let write: (line: string) => void = () => {};

/** Shows the log lines of all machines from now on. */
export function showLog(to: (line: string) => void): void {
  write = to;
}

/** Says nothing unless `showLog` was called. */
export const LOG = createLogger({
  level: "warn",
  format: "logfmt",
  component: "simulation",
  now: () => 0,
  write: (line) => write(line),
});
