/**
 * Constant arrival rate whatever the target does: each message has a time at which it is due, and
 * its latency counts from that time, so that a target that stalls cannot hide its queue
 * (coordinated omission; G. Tene, "How NOT to Measure Latency").
 */
import type { EchoConnection, EchoTarget } from "./targets.ts";

/** One load; the same for every target of a run. */
export interface LoadOptions {
  /** Messages a second, all connections together. */
  readonly rate: number;
  readonly seconds: number;
  /** Sent first and not counted. */
  readonly warmup_seconds: number;
  readonly connections: number;
  readonly body_bytes: number;
}

/** What one target did with the load: counted messages and latencies from the time each was due. */
export interface LoadResult {
  readonly target: string;
  readonly sent: number;
  readonly received: number;
  readonly p50_ms: number;
  readonly p90_ms: number;
  readonly p99_ms: number;
  readonly p999_ms: number;
  readonly max_ms: number;
}

const TICK_MS = 1;
const DRAIN_MS = 5_000;

/** The value below which `fraction` of the sorted latencies lie (nearest rank). */
export function percentile(sorted: Float64Array, fraction: number): number {
  if (sorted.length === 0) return NaN;
  return sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? NaN;
}

/** Runs one target. Messages of a connection come back in order, so the k-th echo is the k-th sent. */
export async function openLoop(target: EchoTarget, options: LoadOptions): Promise<LoadResult> {
  const due: number[][] = Array.from({ length: options.connections }, () => []);
  const warmup = options.rate * options.warmup_seconds;
  const total = options.rate * (options.warmup_seconds + options.seconds);
  const latencies = new Float64Array(total);
  let received = 0;
  let counted = 0;
  let counted_from_ms = Infinity;
  const connections = await Promise.all(
    due.map((times, index) => {
      let echoed = 0;
      return target.open(index, () => {
        const due_ms = times[echoed++] ?? 0;
        received++;
        if (due_ms >= counted_from_ms) latencies[counted++] = performance.now() - due_ms;
      });
    }),
  );
  const body = new Uint8Array(options.body_bytes);
  const start_ms = performance.now() + 10;
  counted_from_ms = start_ms + options.warmup_seconds * 1_000;
  await send(connections, due, body, { start_ms, total, rate: options.rate });
  const deadline_ms = performance.now() + DRAIN_MS;
  while (received < total && performance.now() < deadline_ms) await tick();
  for (const connection of connections) connection.close();
  const sorted = latencies.subarray(0, counted).sort();
  return {
    target: target.name,
    sent: total - warmup,
    received: counted,
    p50_ms: percentile(sorted, 0.5),
    p90_ms: percentile(sorted, 0.9),
    p99_ms: percentile(sorted, 0.99),
    p999_ms: percentile(sorted, 0.999),
    max_ms: percentile(sorted, 1),
  };
}

async function send(
  connections: EchoConnection[],
  due: number[][],
  body: Uint8Array<ArrayBuffer>,
  plan: { start_ms: number; total: number; rate: number },
): Promise<void> {
  for (let sent = 0; sent < plan.total;) {
    const now_ms = performance.now();
    for (; sent < plan.total; sent++) {
      const due_ms = plan.start_ms + sent * 1_000 / plan.rate;
      if (due_ms > now_ms) break;
      const index = sent % connections.length;
      due[index]?.push(due_ms);
      connections[index]?.send(body);
    }
    await tick();
  }
}

function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, TICK_MS));
}
