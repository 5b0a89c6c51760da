/**
 * Metrics that are plain numbers where they are counted and become prom-client's only at a scrape,
 * for paths on which a label lookup costs too much. Which metrics there are is decided elsewhere.
 */
import { Counter, Gauge, type Histogram, type Registry } from "prom-client";

/** A histogram: an observation is one addition to an array. Values are seconds. */
export class PlainHistogram {
  /** Upper bounds of the buckets, ascending, in seconds; larger values have their own bucket. */
  readonly bounds: readonly number[];
  /** Observations of each bucket, not cumulative; one more bucket than bounds. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(seconds: number): void {
    const { bounds } = this;
    let index = 0;
    while (index < bounds.length && seconds > bounds[index]!) index++;
    this.counts[index]!++;
    this.sum += seconds;
  }

  get count(): number {
    return this.counts.reduce((total, one) => total + one, 0);
  }
}

/** Values of labels by their names. */
export type PlainLabels = Readonly<Record<string, string>>;

/** The samples of one histogram in the text format, cumulative. */
function samplesOf(name: string, labels: PlainLabels, { bounds, counts, sum }: PlainHistogram) {
  let cumulative = 0;
  const samples: { metricName: string; labels: Record<string, number | string>; value: number }[] =
    [];
  for (const [index, count] of counts.entries()) {
    cumulative += count;
    const le = bounds[index] ?? "+Inf";
    samples.push({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: cumulative });
  }
  samples.push({ metricName: `${name}_sum`, labels: { ...labels }, value: sum });
  samples.push({ metricName: `${name}_count`, labels: { ...labels }, value: cumulative });
  return samples;
}

/** Registers a plain histogram. */
export function registerPlainHistogram(
  registry: Registry,
  name: string,
  help: string,
  plain: PlainHistogram,
): void {
  registerPlainHistograms(registry, name, help, () => [[{}, plain]]);
}

/** Registers plain histograms with labels; `read` returns them at a scrape. */
export function registerPlainHistograms(
  registry: Registry,
  name: string,
  help: string,
  read: () => Iterable<readonly [PlainLabels, PlainHistogram]>,
): void {
  const get = () => {
    const values = [...read()].flatMap(([labels, plain]) => samplesOf(name, labels, plain));
    return Promise.resolve({ name, help, type: "histogram", aggregator: "sum", values });
  };
  // All that a registry asks of its members; prom-client's types know only its own classes.
  registry.registerMetric({ name, help, type: "histogram", get } as unknown as Histogram);
}

/** Registers a counter that is read at a scrape; `read` must never decrease. */
export function scrapedCounter(
  registry: Registry,
  name: string,
  help: string,
  read: () => number,
): void {
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}

/** Registers a counter with one label that is read at a scrape; `read` returns a total for each of its values. */
export function scrapedFamily(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  read: () => Readonly<Record<string, number>>,
  type: MetricType = Counter,
): void {
  scrapedCounters(registry, name, help, [label], function* () {
    for (const [value, total] of Object.entries(read())) yield [{ [label]: value }, total];
  }, type);
}

/** Counters, or gauges. */
type MetricType = typeof Counter | typeof Gauge;

/** Totals by their labels. */
type Samples = Iterable<readonly [PlainLabels, number]>;

/**
 * Registers a counter with labels that is read at a scrape; `read` gives each of their combinations
 * once, or resolves with them. The same for gauges with that `type`.
 */
export function scrapedCounters(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[],
  read: () => Samples | Promise<Samples>,
  type: MetricType = Counter,
): void {
  const options = { name, help, labelNames: [...labelNames], registers: [registry] };
  const collect = () => {
    const set = (samples: Samples) => {
      metric.reset();
      for (const [labels, total] of samples) metric.inc({ ...labels }, total);
    };
    const samples = read();
    return samples instanceof Promise ? samples.then(set) : set(samples);
  };
  const metric = new type({ ...options, collect });
}
