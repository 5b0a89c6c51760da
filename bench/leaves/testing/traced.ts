/**
 * The whole path with tracing off, and with tracing on and nothing sampled: the cost of a message that is not recorded.
 * The sampler is real; such a message must use nothing else of tracing.
 */
import { randomPool } from "../../../shared/ids.ts";
import { TraceSampler } from "../../../shared/telemetry/trace_sampler.ts";
import type { Tracing } from "../../../shared/telemetry/tracing.ts";
import { Traces } from "../../../shield/traces/traces.ts";
import type { Leaf } from "../leaf.ts";
import { NOW_MS, wholePath } from "../path_leaves.ts";

function untouched(): never {
  throw new Error("a message that is not sampled has no span");
}

function traces(): Traces {
  const options = { ratio: 0, per_second: 100, on_error: true };
  const tracing: Tracing = {
    sampler: new TraceSampler(options, NOW_MS),
    now_ms: () => NOW_MS,
    start: untouched,
    countInvalid: untouched,
    stop: untouched,
  };
  return new Traces(tracing, randomPool((bytes) => crypto.getRandomValues(bytes)));
}

/** The list of leaves for the child process, which selects one by name. */
export const LEAVES: readonly Leaf[] = [
  { name: "off", unit: "B", times: 10_000, open: () => wholePath() },
  { name: "on, not sampled", unit: "B", times: 10_000, open: () => wholePath(traces()) },
];
