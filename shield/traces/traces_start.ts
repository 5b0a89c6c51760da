/**
 * Starts the traces of a Shield's process. What is traced is `traces.ts`; without a collector in the
 * config there is nothing to start.
 */
import type { Random } from "../../shared/ids.ts";
import { startTracing } from "../../shared/telemetry/tracing.ts";
import type { Tracing, TracingOptions } from "../../shared/telemetry/tracing.ts";
import { Traces } from "./traces.ts";

/** The traces of a process; both members are absent when nothing is traced. */
export interface StartedTraces {
  readonly tracing: Tracing | undefined;
  readonly traces: Traces | undefined;
}

/** Resolves once messages can be traced; no collector is asked before. */
export async function startTraces(
  options: TracingOptions & { readonly random: Random },
): Promise<StartedTraces> {
  const tracing = await startTracing(options);
  return { tracing, traces: tracing && new Traces(tracing, options.random) };
}
