/**
 * Samples of the last five minutes of a process, in its own memory, so that a chart does not begin empty: one sample
 * every five seconds, and a bounded number of them. Use Prometheus for longer times.
 */
import { isId } from "@arqon/proto";
import { z } from "zod";
import type { Env } from "../env.ts";
import type { ClusterNode } from "./cluster_node.ts";

/** Time between two samples. */
export const SAMPLE_MS = 5_000;
/** Samples that are kept: five minutes, and one more for the rates of the first. */
export const SAMPLES_MAX = 61;
/** Reasons of rejects in one sample; further ones are left out. */
const REASONS_MAX = 512;

const Count = z.number().min(0);

/** The state of a process some time ago: totals since its start, and gauges. */
const Sample = z.strictObject({
  /** How long ago, in ms by the process's own clock. */
  age_ms: Count,
  uptime_ms: Count,
  cpu_seconds: Count,
  rss_bytes: Count,
  event_loop_lag_ms: Count,
  /** Figures that only Shields have. */
  connections: Count.optional(),
  ingress_messages: Count.optional(),
  egress_messages: Count.optional(),
  rejects: z.record(z.string().max(200), Count)
    .refine((table) => Object.keys(table).length <= REASONS_MAX).optional(),
});
type Sample = z.output<typeof Sample>;

/** The samples of one node, the oldest first. */
export const NodeSamples = z.strictObject({
  kind: z.enum(["shield", "brain"]),
  node_id: z.string().refine(isId),
  /** The same as in the node's record. */
  process_id: z.string().refine(isId),
  /** Unix ms. */
  started_ms: z.number(),
  samples: z.array(Sample).max(SAMPLES_MAX),
});
/** The samples of one node, the oldest first. */
export type NodeSamples = z.output<typeof NodeSamples>;

type Kept = Omit<Sample, "age_ms"> & { readonly at_ms: number };

/** The dependencies of taking samples. */
export interface SamplerOptions extends Pick<Env, "monotonic_ms"> {
  /**
   * Reads the record of this node. A separate reader for samples, because some figures are relative to the previous
   * reading.
   */
  readonly node: () => Promise<ClusterNode>;
}

const numberOr = (value: unknown) => typeof value === "number" ? value : undefined;

function known<T extends Record<string, unknown>>(
  figures: T,
): { [K in keyof T]: NonNullable<T[K]> } {
  const kept = Object.entries(figures).filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept) as { [K in keyof T]: NonNullable<T[K]> };
}

function keptOf(node: ClusterNode, at_ms: number): Kept {
  const { uptime_ms, cpu_seconds, rss_bytes, event_loop_lag_ms, totals, gauges } = node;
  const { rejects } = totals;
  return {
    at_ms,
    uptime_ms,
    cpu_seconds,
    rss_bytes,
    event_loop_lag_ms,
    ...known({
      connections: gauges.connections,
      ingress_messages: numberOr(totals.ingress_messages),
      egress_messages: numberOr(totals.egress_messages),
    }),
    ...(typeof rejects === "object"
      ? { rejects: Object.fromEntries(Object.entries(rejects).slice(0, REASONS_MAX)) }
      : {}),
  };
}

/** Keeps the samples of one node. */
export class Sampler {
  readonly #options: SamplerOptions;
  readonly #kept: Kept[] = [];
  #node: Pick<NodeSamples, "kind" | "node_id" | "process_id" | "started_ms"> | undefined;

  constructor(options: SamplerOptions) {
    this.#options = options;
  }

  /** Takes a sample; drops the oldest when there are too many. */
  async take(): Promise<void> {
    const { node: read, monotonic_ms } = this.#options;
    const node = await read();
    const { kind, node_id, process_id, started_ms } = node;
    this.#node = { kind, node_id, process_id, started_ms };
    this.#kept.push(keptOf(node, monotonic_ms()));
    if (this.#kept.length > SAMPLES_MAX) this.#kept.shift();
  }

  /** All samples; undefined before the first. */
  tell(): NodeSamples | undefined {
    if (this.#node === undefined) return undefined;
    const now_ms = this.#options.monotonic_ms();
    const samples = this.#kept.map(({ at_ms, ...sample }) => ({
      age_ms: Math.max(0, now_ms - at_ms),
      ...sample,
    }));
    return { ...this.#node, samples };
  }
}

/** Takes samples until the returned function is called. `onFailure` is called for a failed sample. */
export function startSampler(
  sampler: Pick<Sampler, "take">,
  onFailure: (error: unknown) => void,
): () => void {
  const take = () => void sampler.take().catch(onFailure);
  take();
  const timer = setInterval(take, SAMPLE_MS);
  return () => clearInterval(timer);
}
