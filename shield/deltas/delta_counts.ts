/** The outcome of messages for receivers with deltas, and the data that is kept for them. */
import type { Registry } from "../../shared/metrics/metrics.ts";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import { scrapedCounter, scrapedFamily } from "../../shared/metrics/metrics_plain.ts";

/** The counts of one process, all at zero. */
export class DeltaCounts {
  /** Messages, one for each receiver, by what their data was: `diff` or `whole`. */
  readonly forms = { diff: 0, whole: 0 };
  /** Bytes by which diffs were smaller than the data that they stood for. */
  saved_bytes = 0;
  /** Bytes of data that is kept to make diffs from. */
  base_bytes = 0;
  /** Data that a receiver of deltas was sent and may have let go, as it keeps no more bytes. */
  let_go = 0;
}

/** The counts, as metrics of the process. */
export function registeredCounts(registry: Registry): DeltaCounts {
  const counts = new DeltaCounts();
  const forms_help = "Messages to receivers of deltas, by what their data was.";
  scrapedFamily(registry, "shield_delta_messages_total", forms_help, "form", () => counts.forms);
  const saved_help = "Bytes by which diffs were smaller than the data that they stood for.";
  scrapedCounter(registry, "shield_delta_saved_bytes_total", saved_help, () => counts.saved_bytes);
  const base_help = "Bytes of data that is kept to make diffs from.";
  scrapedGauge(registry, "shield_delta_base_bytes", base_help, () => counts.base_bytes);
  const gone_help = "Data that receivers of deltas let go, as they keep no more bytes.";
  scrapedCounter(registry, "shield_delta_let_go_total", gone_help, () => counts.let_go);
  return counts;
}
