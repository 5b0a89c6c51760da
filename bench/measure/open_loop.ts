/**
 * Sends messages at a constant rate whatever the target does. Each message has a due time, from which its
 * latency counts, so that a target that stalls cannot hide its queue (coordinated omission; G. Tene, "How NOT
 * to Measure Latency").
 */
import { positive } from "./scenario.ts";
import type { OptionValues } from "./scenario.ts";
import type { EchoConnection, EchoTarget } from "./targets.ts";

/** The options of one load, the same for every target of a run. */
export interface LoadOptions {
  /** Messages per second of all connections together. */
  readonly rate: number;
  readonly seconds: number;
  /** Seconds of messages that are sent first and do not count. */
  readonly warmup_seconds: number;
  readonly connections: number;
  readonly body_bytes: number;
  /** The body of every message; zeros when left out. */
  readonly body?: Uint8Array;
  /**
   * Where a latency begins: when the message was `due`, which is the default, or when it was `sent`. Sending
   * never waits for the target, so both include what queues there. `sent` leaves out the lateness of this
   * generator's own timer, which is a millisecond and more.
   */
  readonly from?: "due" | "sent";
  /** Called when all connections are open, and when everything was answered: for the target's CPU time. */
  readonly onOpen?: () => Promise<void>;
  readonly onAnswered?: () => Promise<void>;
}

/** The load that the common options of a scenario describe. Throws `UsageError`. */
export function loadOptions(values: OptionValues): LoadOptions {
  return {
    rate: positive(values, "rate"),
    seconds: positive(values, "seconds"),
    warmup_seconds: positive(values, "warmup"),
    connections: positive(values, "connections"),
    body_bytes: positive(values, "bytes"),
  };
}

/** The result of one target: counted messages, and latencies from the due time of each. */
export interface LoadResult {
  readonly target: string;
  readonly sent: number;
  readonly received: number;
  /** Messages that the target refused, warm-up included; they are not in `received`. */
  readonly refused: number;
  readonly p50_ms: number;
  readonly p90_ms: number;
  readonly p99_ms: number;
  readonly p999_ms: number;
  readonly max_ms: number;
}

const TICK_MS = 1;
const DRAIN_MS = 5_000;
/** Marks a message of the warm-up, in place of the time at which its latency begins. */
const NOT_COUNTED = -1;

/** The value below which `fraction` of the sorted latencies lie (nearest rank). */
export function percentile(sorted: ArrayLike<number>, fraction: number): number {
  if (sorted.length === 0) return NaN;
  return sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? NaN;
}

/** Runs one target. Messages of a connection come back in order, so the k-th echo is the k-th sent. */
export async function openLoop(target: EchoTarget, options: LoadOptions): Promise<LoadResult> {
  const begins: number[][] = Array.from({ length: options.connections }, () => []);
  const warmup = options.rate * options.warmup_seconds;
  const total = options.rate * (options.warmup_seconds + options.seconds);
  const latencies = new Float64Array(total);
  let answered = 0;
  let refused = 0;
  let counted = 0;
  const connections = await Promise.all(
    begins.map((times, index) => {
      let echoed = 0;
      return target.open(index, (is_refused = false) => {
        const from_ms = times[echoed++] ?? NOT_COUNTED;
        answered++;
        if (is_refused) refused++;
        else if (from_ms !== NOT_COUNTED) latencies[counted++] = performance.now() - from_ms;
      });
    }),
  );
  const body = options.body ?? new Uint8Array(options.body_bytes);
  await options.onOpen?.();
  const start_ms = performance.now() + 10;
  const { rate, from = "due" } = options;
  await send(connections, begins, body, { start_ms, warmup, total, rate, from });
  const deadline_ms = performance.now() + DRAIN_MS;
  while (answered < total && performance.now() < deadline_ms) await tick();
  await options.onAnswered?.();
  for (const connection of connections) connection.close();
  const sorted = latencies.subarray(0, counted).sort();
  return {
    target: target.name,
    sent: total - warmup,
    received: counted,
    refused,
    p50_ms: percentile(sorted, 0.5),
    p90_ms: percentile(sorted, 0.9),
    p99_ms: percentile(sorted, 0.99),
    p999_ms: percentile(sorted, 0.999),
    max_ms: percentile(sorted, 1),
  };
}

async function send(
  connections: EchoConnection[],
  begins: number[][],
  body: Uint8Array,
  plan: { start_ms: number; warmup: number; total: number; rate: number; from: "due" | "sent" },
): Promise<void> {
  for (let sent = 0; sent < plan.total;) {
    const now_ms = performance.now();
    for (; sent < plan.total; sent++) {
      const due_ms = plan.start_ms + sent * 1_000 / plan.rate;
      if (due_ms > now_ms) break;
      const index = sent % connections.length;
      const from_ms = plan.from === "due" ? due_ms : performance.now();
      begins[index]?.push(sent < plan.warmup ? NOT_COUNTED : from_ms);
      connections[index]?.send(body);
    }
    await tick();
  }
}

function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, TICK_MS));
}
