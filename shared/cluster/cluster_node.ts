/**
 * The record of a Shield or Brain for operators, and the figures that both kinds of processes have. Readings only;
 * nothing is decided by them.
 */
import { isId } from "@arqon/proto";
import { z } from "zod";
import { cpuSeconds, type Registry } from "../metrics/metrics.ts";
import { type HealthReport, isReady } from "../listeners/ops.ts";
import type { SpineStatus } from "../spine/contract/spine.ts";
import { WIRE } from "./wire_version.ts";
import { STORAGE } from "../spine/storage_version.ts";

const TABLE_MAX = 512;
const Name = z.string().max(200);

/** A number, or numbers by name, for example by reason, close code or verdict. */
const Figure = z.union([
  z.number(),
  z.record(Name, z.number()).refine((table) => Object.keys(table).length <= TABLE_MAX),
]);

/** One process in `GET /v1/cluster`. Unknown members of a newer process are dropped. */
export const ClusterNode = z.object({
  kind: z.enum(["shield", "brain"]),
  node_id: z.string().refine(isId),
  /** An id of the process: the same for all of its nodes, which share memory and CPU. */
  process_id: z.string().refine(isId),
  version: z.string().max(100),
  /** Unix ms. */
  started_ms: z.number(),
  uptime_ms: z.number(),
  ready: z.boolean(),
  draining: z.boolean(),
  checks: z.record(
    Name,
    z.strictObject({ ok: z.boolean(), since_ms: z.number(), detail: z.string().max(2_000) }),
  ),
  spine: z.record(Name, z.union([z.string().max(500), z.number()])),
  cpu_seconds: z.number(),
  rss_bytes: z.number(),
  heap_used_bytes: z.number(),
  /** Lag of timers since the previous reading: the 99th percentile. */
  event_loop_lag_ms: z.number(),
  totals: z.record(Name, Figure),
  gauges: z.record(Name, z.number()),
});

/** The record of a node about itself. */
export type ClusterNode = z.output<typeof ClusterNode>;

/** The readings for a record. */
export interface NodeReading extends Pick<ClusterNode, "kind" | "node_id" | "version"> {
  /** Unix ms. */
  readonly started_ms: number;
  readonly now_ms: number;
  readonly draining: boolean;
  readonly checks: HealthReport["checks"];
  readonly spine: SpineStatus;
  readonly totals: ClusterNode["totals"];
  readonly gauges: ClusterNode["gauges"];
}

/** The id of this start of this process. Not its pid: processes in two containers may have the same. */
const PROCESS_ID = crypto.randomUUID();
const CHECK_UNITS = 2_000;
/** How late timers fire: what `watchEventLoop` measures. */
export const LAG_METRIC = "arqon_event_loop_lag_seconds";
const QUANTILE = 0.99;
/** Readings closer together than this, in ms, share their figures: several operators may read concurrently. */
const WINDOW_MS = 500;

/** Reads a quantile of a histogram's values since the previous reading. */
export class QuantileReader {
  readonly #registry: Pick<Registry, "getSingleMetric">;
  readonly #metric: string;
  readonly #now: () => number;
  #before: ReadonlyMap<number, number> = new Map();
  #read_ms = -Infinity;
  #seconds: number | undefined;

  /** `metric` is the name of a histogram of seconds without labels; `now` is in ms. */
  constructor(registry: Pick<Registry, "getSingleMetric">, metric: string, now: () => number) {
    this.#registry = registry;
    this.#metric = metric;
    this.#now = now;
  }

  /** The quantile in ms; undefined without values or a measurement. */
  async read_ms(): Promise<number | undefined> {
    const now_ms = this.#now();
    if (now_ms - this.#read_ms >= WINDOW_MS) {
      this.#read_ms = now_ms;
      const bounds = new Map<number, number>();
      for (const { labels, value } of await valuesOf(this.#registry, this.#metric)) {
        if (labels.le !== undefined) bounds.set(Number(String(labels.le)), value);
      }
      this.#seconds = quantile(bounds, this.#before);
      this.#before = bounds;
    }
    return this.#seconds === undefined ? undefined : 1_000 * this.#seconds;
  }
}

interface MetricValue {
  readonly labels: Readonly<Partial<Record<string, string | number>>>;
  readonly value: number;
}

async function valuesOf(
  registry: Pick<Registry, "getSingleMetric">,
  name: string,
): Promise<readonly MetricValue[]> {
  return (await registry.getSingleMetric(name)?.get())?.values ?? [];
}

/** The sum of a counter's or gauge's values that have these labels; 0 where there is none. */
export async function totalOf(
  registry: Pick<Registry, "getSingleMetric">,
  name: string,
  having: Readonly<Record<string, string>> = {},
): Promise<number> {
  const wanted = Object.entries(having);
  let total = 0;
  for (const { labels, value } of await valuesOf(registry, name)) {
    if (wanted.every(([label, text]) => String(labels[label]) === text)) total += value;
  }
  return total;
}

/** The upper bound of the bucket with the quantile of the values since `before`; +Inf for the last. */
function quantile(
  now: ReadonlyMap<number, number>,
  before: ReadonlyMap<number, number>,
): number | undefined {
  const bounds = [...now.keys()].sort((a, b) => a - b);
  const grown = (bound: number) => (now.get(bound) ?? 0) - (before.get(bound) ?? 0);
  const total = bounds.length === 0 ? 0 : grown(bounds.at(-1)!);
  if (total <= 0) return undefined;
  const found = bounds.find((bound) => grown(bound) >= QUANTILE * total) ?? Infinity;
  return Number.isFinite(found) ? found : bounds.at(-2) ?? 0;
}

/** A node's record, with the figures of this process. */
export async function nodeOf(
  reading: NodeReading,
  lag: Pick<QuantileReader, "read_ms">,
): Promise<ClusterNode> {
  const { rss, heapUsed } = Deno.memoryUsage();
  const { started_ms, now_ms, checks, spine, gauges, ...rest } = reading;
  const versions = {
    wire_version: WIRE.version,
    wire_oldest: WIRE.oldest,
    storage_version: STORAGE.storage,
  };
  const shown = Object.entries(checks).map(([name, { ok, since_ms, detail }]) => [
    name,
    { ok, since_ms, detail: detail.slice(0, CHECK_UNITS) },
  ]);
  return {
    ...rest,
    process_id: PROCESS_ID,
    started_ms,
    uptime_ms: Math.max(0, now_ms - started_ms),
    ready: isReady({ checks }),
    checks: Object.fromEntries(shown),
    spine: { ...spine },
    gauges: { ...gauges, ...versions },
    cpu_seconds: cpuSeconds(),
    rss_bytes: rss,
    heap_used_bytes: heapUsed,
    event_loop_lag_ms: await lag.read_ms() ?? 0,
  };
}
