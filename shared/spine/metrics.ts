/** The Spine's state as gauges of its process; read when somebody scrapes, never on a message's way. */
import type { Logger } from "../logs/log.ts";
import { Counter, Gauge, Histogram, scrapedGauge } from "../metrics/metrics.ts";
import type { Registry } from "../metrics/metrics.ts";
import { scrapedCounter } from "../metrics/metrics_plain.ts";
import type { Spine, SpineState, SpineStatus } from "./contract/spine.ts";
import { watchWrites } from "./write_watch.ts";
import type { WriteWatch, WriteWatchOptions } from "./write_watch.ts";
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
const ROUND_TRIP_BUCKETS_SECONDS = [
  0.000_1,
  0.000_25,
  0.000_5,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
];

/**
 * Measures from now on how long a flush takes, as `arqon_spine_round_trip_seconds`: once in
 * `interval_ms`, never two at a time, until it is disposed. `monotonic_ms` is `performance.now`. What
 * the Spine does not confirm is counted. The timer does not keep the process alive.
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

/** Counts reads of records that a newer ArqonBus has stored, and warns of the first of each kind. */
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
 * Registers from now on the state of a Spine, how long a flush takes, whether writes are kept and which records are
 * of a newer ArqonBus, until what it returns is disposed. `monotonic_ms` is `performance.now`.
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
