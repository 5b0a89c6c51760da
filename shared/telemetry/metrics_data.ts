/**
 * A registry's metrics in the form of OpenTelemetry's exporters: counters as monotonic sums, gauges, histograms with
 * explicit bounds, all cumulative since the process started. Names and labels are those of /metrics. Sends nothing.
 */
import { type HrTime, ValueType } from "@opentelemetry/api";
import { AggregationTemporality, DataPointType } from "@opentelemetry/sdk-metrics";
import type { DataPoint, HistogramMetricData, MetricData } from "@opentelemetry/sdk-metrics";
import type { Registry } from "../metrics/metrics.ts";

type Labels = Record<string, string | number>;

interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** The name of a histogram's sample, with `_bucket`, `_sum` or `_count` at its end. */
  readonly metricName?: string;
}

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly values: readonly Sample[];
}

/** The period of the values, Unix ms. */
export interface Span {
  readonly start_ms: number;
  readonly end_ms: number;
}

type Point<T> = Pick<DataPoint<T>, "attributes" | "value">;

function hrTime(unix_ms: number): HrTime {
  const seconds = Math.floor(unix_ms / 1_000);
  return [seconds, Math.round((unix_ms - seconds * 1_000) * 1_000_000)];
}

/** The UCUM unit from the end of a name; none if the name has no unit. */
export function unitOf(name: string): string {
  const plain = name.replace(/_total$/, "");
  if (plain.endsWith("_seconds")) return "s";
  if (plain.endsWith("_bytes")) return "By";
  return plain.endsWith("_ratio") ? "1" : "";
}

function attributesOf(labels: Labels): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, String(value)]));
}

type Histogram = HistogramMetricData["dataPoints"][number]["value"];

/** A histogram's samples before they are joined. */
interface Collected {
  readonly labels: Labels;
  /** Upper bound, and the count up to it. */
  readonly buckets: [le: number, cumulative: number][];
  sum: number;
  count: number;
}

function toHistogram({ buckets, sum, count }: Collected): Histogram {
  const finite = buckets.filter(([le]) => Number.isFinite(le)).sort(([a], [b]) => a - b);
  let before = 0;
  const counts = finite.map(([, cumulative]) => {
    const own = cumulative - before;
    before = cumulative;
    return own;
  });
  return {
    buckets: { boundaries: finite.map(([le]) => le), counts: [...counts, count - before] },
    sum,
    count,
  };
}

function histogramPoints(values: readonly Sample[]): Point<Histogram>[] {
  const series = new Map<string, Collected>();
  for (const { labels: { le, ...labels }, value, metricName = "" } of values) {
    const key = JSON.stringify(Object.entries(labels).sort());
    const collected = series.get(key) ?? { labels, buckets: [], sum: 0, count: 0 };
    series.set(key, collected);
    if (metricName.endsWith("_bucket")) {
      collected.buckets.push([le === "+Inf" ? Infinity : Number(le), value]);
    } else if (metricName.endsWith("_sum")) collected.sum = value;
    else collected.count = value;
  }
  return [...series.values()].map((collected) => ({
    attributes: attributesOf(collected.labels),
    value: toHistogram(collected),
  }));
}

/** One family; undefined for a kind that we never create. */
function toMetric({ name, help, type, values }: Family, span: Span): MetricData | undefined {
  const descriptor = { name, description: help, unit: unitOf(name), valueType: ValueType.DOUBLE };
  const common = { descriptor, aggregationTemporality: AggregationTemporality.CUMULATIVE };
  const startTime = hrTime(span.start_ms);
  const endTime = hrTime(span.end_ms);
  const timed = <T>(points: readonly Point<T>[]) =>
    points.map((point) => ({ ...point, startTime, endTime }));
  if (type === "histogram") {
    const dataPoints = timed(histogramPoints(values));
    return { ...common, dataPointType: DataPointType.HISTOGRAM, dataPoints };
  }
  const dataPoints = timed(
    values.map(({ labels, value }) => ({ attributes: attributesOf(labels), value })),
  );
  if (type === "gauge") return { ...common, dataPointType: DataPointType.GAUGE, dataPoints };
  if (type !== "counter") return undefined;
  return { ...common, dataPointType: DataPointType.SUM, dataPoints, isMonotonic: true };
}

/** The whole registry, read now. A family without series has no points, as on /metrics. */
export async function metricsData(registry: Registry, span: Span): Promise<MetricData[]> {
  const families = await registry.getMetricsAsJSON() as unknown as Family[];
  return families.flatMap((family) => toMetric(family, span) ?? []);
}
