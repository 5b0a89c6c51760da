/** The Spine's state as gauges of its process; read when somebody scrapes, never on a message's way. */
import { Counter } from "prom-client";
import type { Registry } from "prom-client";
import { scrapedGauge } from "../metrics.ts";
import type { Spine, SpineStatus } from "./spine.ts";

type Read = (status: SpineStatus) => number;

const GAUGES: [name: string, help: string, read: Read][] = [
  [
    "arqon_spine_connected",
    "1 while the Spine is connected.",
    (s) => Number(s.state === "connected"),
  ],
  [
    "arqon_spine_pending_bytes",
    "Bytes handed to the Spine and not yet delivered or confirmed.",
    (s) => s.pending_bytes,
  ],
];

const COUNTERS: [name: string, help: string, read: Read][] = [
  ["arqon_spine_reconnects_total", "Reconnects to the Spine's server.", (s) => s.reconnects],
  [
    "arqon_spine_slow_consumers_total",
    "Subscriptions that lost messages because they were too slow.",
    (s) => s.slow_consumers,
  ],
];

/** Registers the gauges and counters; once a registry. */
export function registerSpineMetrics(spine: Spine, registry: Registry): void {
  const registers = [registry];
  for (const [name, help, read] of GAUGES) {
    scrapedGauge(registry, name, help, () => read(spine.status));
  }
  for (const [name, help, read] of COUNTERS) {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read(spine.status));
      },
    });
  }
}
