/** The registry's metrics. Labels come from closed sets. */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { scraped, scrapedGauge } from "../../../shared/metrics/metrics.ts";

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

/** The metrics that are counted when something happens. */
interface RegistryMetrics {
  /** Counts a change that is in force or has failed, `duration_ms` after this process received it. */
  settled(state: ChainState, duration_ms: number): void;
}

const APPLY_BUCKETS_SECONDS = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const COMPILE_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface ReadyMetrics {
  /** Observes the time of compiling a module, trial included. */
  compiled(duration_ms: number): void;
}

/** Registers the metrics of modules that are made ready, and kept besides those in force. */
export function registerReady(
  registry: Registry,
  kept: { readonly size: number; readonly released: number },
): ReadyMetrics {
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
  return { compiled: (duration_ms) => compile.observe(duration_ms / 1_000) };
}

/** Registers the number of remembered `host_log` lines. */
export function registerLogMemory(registry: Registry, memory: { readonly size: number }): void {
  scraped(registry, {
    "shield_policy_log_lines": [
      "Remembered lines of policies, of all tenants.",
      () => memory.size,
    ],
  });
}

/** Registers the metrics. Call it once for each registry. */
export function registerRegistryMetrics(
  registry: Registry,
  read: () => RegistryFigures,
): RegistryMetrics {
  const registers = [registry];
  new Gauge({
    name: "shield_policy_tenants",
    help: "Tenants with policies, by the outcome of their latest document.",
    labelNames: ["state"],
    registers,
    collect() {
      const { tenants } = read();
      for (const state of CHAIN_STATES) this.set({ state }, tenants[state]);
    },
  });
  const gauge = (name: string, help: string, value: (figures: RegistryFigures) => number) =>
    scrapedGauge(registry, name, help, () => value(read()));
  gauge("shield_policy_modules", "Loaded policy modules.", ({ modules }) => modules);
  gauge(
    "shield_policy_modules_pending",
    "Policy modules that wait to be made ready, or are being made ready.",
    ({ pending_modules }) => pending_modules,
  );
  gauge(
    "shield_policy_tenants_pending",
    "Tenants whose operations are refused until their modules are ready.",
    ({ pending_tenants }) => pending_tenants,
  );
  gauge(
    "shield_policy_cached_rooms",
    "Rooms with a cached chain.",
    ({ cached_rooms }) => cached_rooms,
  );
  const changes = new Counter({
    name: "shield_policy_changes_total",
    help: "Changes of tenants' policies that this process has received, by outcome.",
    labelNames: ["state"],
    registers,
  });
  const seconds = new Histogram({
    name: "shield_policy_apply_seconds",
    help: "Time from receiving a change to enforcing it, in seconds.",
    buckets: APPLY_BUCKETS_SECONDS,
    registers,
  });
  return {
    settled(state, duration_ms) {
      changes.inc({ state });
      if (state === "active") seconds.observe(Math.max(0, duration_ms) / 1_000);
    },
  };
}
