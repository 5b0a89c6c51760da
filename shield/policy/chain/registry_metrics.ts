/** The metrics of policies' documents and modules. Labels come from closed sets. */
import { Histogram, metricsOn, type Registry, scraped } from "../../../shared/metrics/metrics.ts";

/** The states of a tenant's chain in `registry.ts`. */
export const CHAIN_STATES = ["loading", "active", "failed", "malformed", "gone"] as const;
/** One of `CHAIN_STATES`. */
export type ChainState = typeof CHAIN_STATES[number];

/** The values that are read at every scrape. */
interface RegistryFigures {
  readonly tenants: Readonly<Record<ChainState, number>>;
  readonly modules: number;
  readonly pending_modules: number;
  readonly pending_tenants: number;
  readonly cached_rooms: number;
}

const APPLY_BUCKETS_SECONDS = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const COMPILE_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Registers the metrics of modules that are made ready, and kept besides those in force. Returns what observes the time
 * of compiling a module, trial included.
 */
export function registerReady(
  registry: Registry,
  kept: { readonly size: number; readonly released: number },
): (duration_ms: number) => void {
  scraped(registry, {
    "shield_policy_compiled_modules": [
      "Compiled policy modules that are kept after a check or a load.",
      () => kept.size,
    ],
    "shield_policy_compiled_released_total": [
      "Compiled policy modules that were dropped because nothing used them.",
      () => kept.released,
    ],
  });
  const compile = new Histogram({
    name: "shield_policy_compile_seconds",
    help: "Time to compile a module, with its trial in a child process, in seconds.",
    buckets: COMPILE_SECONDS,
    registers: [registry],
  });
  return (duration_ms) => compile.observe(duration_ms / 1_000);
}

/**
 * Registers the metrics of documents; once for each registry. Returns what counts a change that is in force or has
 * failed, `duration_ms` after this process received it.
 */
export function registerRegistryMetrics(
  registry: Registry,
  read: () => RegistryFigures,
): (state: ChainState, duration_ms: number) => void {
  scraped(registry, {
    "shield_policy_tenants": [
      "Tenants with policies, by the outcome of their latest document.",
      "state",
      () => read().tenants,
    ],
    "shield_policy_modules": ["Loaded policy modules.", () => read().modules],
    "shield_policy_modules_pending": [
      "Policy modules that wait to be made ready, or are being made ready.",
      () => read().pending_modules,
    ],
    "shield_policy_tenants_pending": [
      "Tenants whose operations are refused until their modules are ready.",
      () => read().pending_tenants,
    ],
    "shield_policy_cached_rooms": ["Rooms with a cached chain.", () => read().cached_rooms],
  });
  const changes = metricsOn(registry).counter(
    "shield_policy_changes_total",
    "Changes of tenants' policies that this process has received, by outcome.",
    "state",
  );
  const seconds = new Histogram({
    name: "shield_policy_apply_seconds",
    help: "Time from receiving a change to enforcing it, in seconds.",
    buckets: APPLY_BUCKETS_SECONDS,
    registers: [registry],
  });
  return (state, duration_ms) => {
    changes.inc({ state });
    if (state === "active") seconds.observe(Math.max(0, duration_ms) / 1_000);
  };
}
