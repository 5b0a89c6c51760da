/** The Spine's state as gauges of its process; read on a scrape, never on the message path. */
import type { Logger } from "../logs/log.ts";
import { Counter, Gauge, Histogram, LAG_SECONDS, scrapedGauge } from "../metrics/metrics.ts";
import type { Registry } from "../metrics/metrics.ts";
import { scrapedCounter } from "../metrics/metrics_plain.ts";
import type { Spine, SpineState, SpineStatus } from "./contract/spine.ts";
import { watchWrites, type WriteWatch, type WriteWatchOptions } from "./write_watch.ts";
import { onNewer } from "../records/stored.ts";

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

const STATES: Record<SpineState, true> = {
  connecting: true,
  connected: true,
  disconnected: true,
  draining: true,
  closed: true,
};

/** Registers the gauges and counters; once a registry. */
export function registerSpineMetrics(spine: Spine, registry: Registry): void {
  for (const [name, help, read] of GAUGES) {
    scrapedGauge(registry, name, help, () => read(spine.status));
  }
  for (const [name, help, read] of COUNTERS) {
    scrapedCounter(registry, name, help, () => read(spine.status));
  }
  new Gauge({
    name: "arqon_spine_state",
    help: "1 for the state that the Spine's connection is in, 0 for the others.",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      const { state } = spine.status;
      for (const one of Object.keys(STATES)) this.set({ state: one }, Number(one === state));
    },
  });
}

const ROUND_TRIP_MS = 5_000;
const ROUND_TRIP_BUCKETS_SECONDS = [0.000_1, 0.000_25, 0.000_5, ...LAG_SECONDS, 5];

/**
 * Measures the duration of a flush as `arqon_spine_round_trip_seconds`: once every `interval_ms`, one at a time, until
 * disposed. `monotonic_ms` is `performance.now`. Failed flushes are counted. The timer does not keep the process alive.
 */
export function watchRoundTrip(
  spine: Pick<Spine, "flush">,
  registry: Registry,
  monotonic_ms: () => number,
  interval_ms = ROUND_TRIP_MS,
): Disposable {
  const seconds = new Histogram({
    name: "arqon_spine_round_trip_seconds",
    help: "From a flush to the server's answer, measured every 5 seconds.",
    buckets: ROUND_TRIP_BUCKETS_SECONDS,
    registers: [registry],
  });
  let failures = 0;
  scrapedCounter(
    registry,
    "arqon_spine_round_trip_failures_total",
    "Measurements of the round trip to which no answer came.",
    () => failures,
  );
  let waiting = false;
  const measure = async () => {
    if (waiting) return;
    waiting = true;
    const began_ms = monotonic_ms();
    try {
      await spine.flush();
      seconds.observe((monotonic_ms() - began_ms) / 1_000);
    } catch {
      failures++;
    }
    waiting = false;
  };
  const timer = setInterval(measure, interval_ms);
  Deno.unrefTimer(timer);
  measure();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Counts reads of records from a newer ArqonBus, and warns about the first of each kind. */
function watchRecords(registry: Registry, log: Logger): Disposable {
  const counter = new Counter({
    name: "arqon_newer_records_total",
    help: "Reads of records that a newer ArqonBus has stored and this one does not know.",
    labelNames: ["record"],
    registers: [registry],
  });
  const warned = new Set<string>();
  return onNewer((record, error) => {
    counter.inc({ record });
    if (warned.has(record)) return;
    warned.add(record);
    const text = "a newer ArqonBus has stored what this one cannot read: upgrade this process";
    log.warn(text, { record, error });
  });
}

/**
 * Registers metrics of a Spine until the result is disposed: its state, the flush duration, whether writes are stored,
 * and records from a newer ArqonBus. `monotonic_ms` is `performance.now`.
 */
export function watchSpine(
  options: WriteWatchOptions & { readonly spine: Spine; readonly monotonic_ms: () => number },
): WriteWatch {
  const { spine, registry, monotonic_ms } = options;
  registerSpineMetrics(spine, registry);
  const round_trips = watchRoundTrip(spine, registry, monotonic_ms);
  const storage = watchWrites(options);
  const records = watchRecords(registry, options.log);
  return {
    asked: storage.asked,
    check: storage.check,
    [Symbol.dispose]() {
      round_trips[Symbol.dispose]();
      storage[Symbol.dispose]();
      records[Symbol.dispose]();
    },
  };
}
