/** The metrics of a part under test, one series at a time. */
import type { Registry } from "../metrics/metrics.ts";

/** The value of a series of the registry, named as its page names it; NaN if it has none. */
export async function sampleOf(registry: Registry, series: string): Promise<number> {
  const line = (await registry.metrics()).split("\n").find((one) => one.startsWith(`${series} `));
  return Number(line?.slice(series.length));
}
