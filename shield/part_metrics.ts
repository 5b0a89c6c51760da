/**
 * Gauges that are read from the parts of a Shield at a scrape: connections by state, bytes queued for the Spine.
 * Counters are in `stats.ts`.
 */
import { Gauge, scrapedGauge } from "../shared/metrics/metrics.ts";
import type { Registry } from "../shared/metrics/metrics.ts";
import type { Parts } from "./capability.ts";

/** Registers the gauge of connections by state, which checks all sockets at a scrape. */
function registerConnectionStates(
  connections: () => Iterable<{ readonly opened: boolean; readonly ended: boolean }>,
  registry: Registry,
): void {
  new Gauge({
    name: "shield_connections",
    help: "Connections by state: before WELCOME, open, or ended with an open socket.",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      const states = { opening: 0, open: 0, closing: 0 };
      for (const { opened, ended } of connections()) {
        states[ended ? "closing" : opened ? "open" : "opening"]++;
      }
      for (const [state, count] of Object.entries(states)) this.set({ state }, count);
    },
  });
}

/** Registers the gauges; call it once per registry. */
export function registerParts(
  { sockets, flushes }: Pick<Parts, "sockets" | "flushes">,
  registry: Registry,
): void {
  registerConnectionStates(() => sockets.values(), registry);
  scrapedGauge(
    registry,
    "shield_flush_queue_depth",
    "Publishes and subscriptions that wait for the Spine's confirmation.",
    () => flushes.pending,
  );
}
