/**
 * Starts the traces of a process if its configuration enables them. Only then `tracing_sdk.ts` and its packages are
 * loaded.
 */
import { otlpTarget } from "./resource.ts";
import type { Tracing, TracingOptions } from "./tracing.ts";

/** Undefined if the config names no collector or disables traces. */
export async function startTracing(options: TracingOptions): Promise<Tracing | undefined> {
  const target = otlpTarget(options.telemetry, "traces", {
    read: options.readTextFile,
    log: options.log,
  });
  if (target === undefined || !options.telemetry.traces) return undefined;
  const { openTracing } = await import("./tracing_sdk.ts");
  return openTracing(options, target);
}
