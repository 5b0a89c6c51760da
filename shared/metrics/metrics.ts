/**
 * The metrics registry of a process and its Prometheus text. Thin over prom-client; each part makes
 * its own counters with the names of docs/metrics.md on the registry it is given. No global registry,
 * and none of prom-client's defaults: they read `/proc`, which our permissions do not allow, and
 * then report zeros.
 */
import process from "node:process";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { slice, STRANGERS } from "../turns/slices.ts";
import {
  type PlainLabels,
  scrapedCounter,
  scrapedCounters,
  scrapedFamily,
} from "./metrics_plain.ts";

export { Counter, Gauge, Histogram, Registry } from "prom-client";

interface MetricsOptions {
  /** Which process this is; the label `node_id` of `arqon_build_info`. */
  readonly node_id: string;
  /** The release, for example "0.1.0". */
  readonly version: string;
}

/** The answer of `/metrics`. */
interface Exposition {
  readonly body: string;
  readonly content_type: string;
}

const MICROSECONDS = 1_000_000;
/** Upper bounds of the buckets of most times, in seconds. */
export const LAG_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** A gauge that is read at a scrape, and costs nothing otherwise. */
export function scrapedGauge(
  registry: Registry,
  name: string,
  help: string,
  read: () => number,
): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}

/**
 * Help and reading of a metric; with the name of a label, a number for each of its values; with names of labels, a
 * number for each of their combinations.
 */
type Scraped =
  | readonly [help: string, read: () => number]
  | ScrapedFamily
  | readonly [
    help: string,
    labels: readonly string[],
    read: () => Iterable<readonly [PlainLabels, number]>,
  ];
type ScrapedFamily = readonly [
  help: string,
  label: string,
  read: () => Readonly<Record<string, number>>,
];

const isFamily = (one: Scraped): one is ScrapedFamily => typeof one[1] === "string";

/** Registers metrics that are read at a scrape: counters, whose names end in `_total`, and gauges. */
export function scraped(registry: Registry, all: Readonly<Record<string, Scraped>>): void {
  for (const [name, one] of Object.entries(all)) {
    const is_counter = name.endsWith("_total");
    const type = is_counter ? Counter : Gauge;
    if (one.length === 2) (is_counter ? scrapedCounter : scrapedGauge)(registry, name, ...one);
    else if (isFamily(one)) scrapedFamily(registry, name, ...one, type);
    else scrapedCounters(registry, name, ...one, type);
  }
}

/** Makes counters and gauges on a registry, each by its name, its help and the names of its labels. */
export function metricsOn(registry: Registry) {
  const registers = [registry];
  return {
    counter: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Counter<Label>({ name, help, labelNames, registers }),
    gauge: <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Gauge<Label>({ name, help, labelNames, registers }),
  };
}

/** The result of `metricsOn`. */
export type MetricMakers = ReturnType<typeof metricsOn>;

function addProcessMetrics(registry: Registry): void {
  const registers = [registry];
  scraped(registry, {
    "process_resident_memory_bytes": [
      "Resident memory size in bytes.",
      () => Deno.memoryUsage().rss,
    ],
    "arqon_heap_used_bytes": ["Bytes of the V8 heap in use.", () => Deno.memoryUsage().heapUsed],
    "arqon_external_memory_bytes": [
      "Bytes outside the heap that V8 objects retain.",
      () => Deno.memoryUsage().external,
    ],
    "process_start_time_seconds": [
      "Start of the process, Unix time in seconds.",
      () => performance.timeOrigin / 1_000,
    ],
  });
  let counted_seconds = 0;
  new Counter({
    name: "process_cpu_seconds_total",
    help: "User and system CPU time spent, in seconds.",
    registers,
    collect() {
      const total_seconds = cpuSeconds();
      this.inc(Math.max(total_seconds - counted_seconds, 0));
      counted_seconds = Math.max(total_seconds, counted_seconds);
    },
  });
}

/** CPU time that this process has used, user and system, in seconds. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / MICROSECONDS;
}

/** A new registry with `arqon_build_info` and the metrics of the process. */
export function createMetrics(options: MetricsOptions): Registry {
  const registry = new Registry();
  new Gauge({
    name: "arqon_build_info",
    help: "Always 1; the labels say which build and which node this is.",
    labelNames: ["version", "node_id"],
    registers: [registry],
  }).set({ version: options.version, node_id: options.node_id }, 1);
  addProcessMetrics(registry);
  return registry;
}

/**
 * Measures the delay of timers as `arqon_event_loop_lag_seconds`, once in `interval_ms`, until it is disposed. `now` is
 * monotonic ms (`performance.now`). The timer does not keep the process alive.
 */
export function watchEventLoop(
  registry: Registry,
  now: () => number,
  interval_ms = 100,
): Disposable {
  const lag = new Histogram({
    name: "arqon_event_loop_lag_seconds",
    help: "Delay of a timer beyond its due time, in seconds.",
    buckets: LAG_SECONDS,
    registers: [registry],
  });
  let due_ms = now() + interval_ms;
  const timer = setInterval(() => {
    const fired_ms = now();
    lag.observe(Math.max(fired_ms - due_ms, 0) / 1_000);
    due_ms = fired_ms + interval_ms;
  }, interval_ms);
  Deno.unrefTimer(timer);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Renders every metric of the registry in the Prometheus text format, each in a slice of a turn. */
export async function exposition(registry: Registry): Promise<Exposition> {
  const texts: string[] = [];
  for (const { name } of registry.getMetricsAsArray()) {
    await slice(STRANGERS);
    texts.push(await registry.getSingleMetricAsString(name));
  }
  return { body: `${texts.join("\n\n")}\n`, content_type: registry.contentType };
}
