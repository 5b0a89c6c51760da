/** What the scenario `reach` waits for and reads. */
import { Scrape } from "../measure/brains.ts";
import type { BusProcess } from "../measure/targets.ts";

/** Resolves after `wait_ms`. */
export const pause = (wait_ms: number) => new Promise((resolve) => setTimeout(resolve, wait_ms));

/** The CPU seconds of the bus so far. */
export async function cpuSecondsOf({ ops_url }: BusProcess): Promise<number> {
  const page = new Scrape(await (await fetch(`${ops_url}/metrics`)).text());
  return page.sum("process_cpu_seconds_total");
}
