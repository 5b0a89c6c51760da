/** The metrics of hooks. `hook` is an id of the configuration, or `_tenant` for tenants' hooks. */
import { Gauge, metricsOn, type Registry, scrapedGauge } from "../../shared/metrics/metrics.ts";

/** The metrics of hooks. */
export type HookMetrics = ReturnType<typeof createHookMetrics>;

/**
 * Creates them; two callbacks are called on a scrape: `failing` for rooms with failed calls, by hook, and `off` for the
 * number of disabled hooks.
 */
export function createHookMetrics(
  registry: Registry,
  failing: () => Iterable<readonly [hook: string, rooms: number]>,
  off: () => number,
) {
  const registers = [registry];
  scrapedGauge(
    registry,
    "brain_hooks_off",
    "Hooks of the whole bus that are switched off because their receivers are gone or take nothing.",
    off,
  );
  new Gauge({
    name: "brain_hook_rooms_waiting",
    help: "Rooms with an event for which a hook was called in vain and will be again, by hook.",
    labelNames: ["hook"],
    registers,
    collect() {
      this.reset();
      for (const [hook, rooms] of failing()) this.inc({ hook }, rooms);
    },
  });
  const { counter } = metricsOn(registry);
  return {
    // `outcome`: taken, refused (another status) or failed (no answer).
    calls: counter(
      "brain_hook_calls_total",
      "Calls of hooks, by hook and outcome: taken, refused or failed.",
      "hook",
      "outcome",
    ),
    dead: counter(
      "brain_hook_dead_letters_total",
      "Events for which a hook is not called any more, by hook.",
      "hook",
    ),
    lost: counter(
      "brain_hook_lost_total",
      "How often a hook was told that events of a room may be lost, by hook.",
      "hook",
    ),
    surveys_failed: counter(
      "brain_hook_survey_failures_total",
      "How often the rooms of a hook could not be read from the log, by hook.",
      "hook",
    ),
  };
}
