/** The journal's own metrics. */
import { type Registry, scraped } from "../../shared/metrics/metrics.ts";
import { scrapedCounters } from "../../shared/metrics/metrics_plain.ts";

/** Why decisions are missing from the journal. */
const HOLE_CAUSES = ["queue-full", "storage-full", "unavailable", "unwritable"] as const;
/** One of `HOLE_CAUSES`. */
export type HoleCause = typeof HOLE_CAUSES[number];

/** The counts of a Shield's journal. */
export class JournalTotals {
  readonly records: { stored: number; lost: number } = { stored: 0, lost: 0 };
  /** Bytes of stored blocks. */
  bytes = 0;
  /** Gaps, by cause. */
  readonly holes: Record<HoleCause, number> = {
    "queue-full": 0,
    "storage-full": 0,
    unavailable: 0,
    unwritable: 0,
  };

  /** Registers them, once per registry; the other figures are read at a scrape. */
  register(
    registry: Registry,
    queue_bytes: () => number,
    keys_held: () => number,
    unkept: () => number,
  ): void {
    scrapedCounters(
      registry,
      "shield_journal_records_total",
      "Decisions for the journal: stored, or lost because the queue was full, the store refused them, or one could not be written.",
      ["outcome"],
      () => Object.entries(this.records).map(([outcome, total]) => [{ outcome }, total]),
    );
    scraped(registry, {
      "shield_journal_bytes_total": ["Bytes of the journal's stored blocks.", () => this.bytes],
    });
    scrapedCounters(
      registry,
      "shield_journal_holes_total",
      "Gaps in the journal's decisions, by cause.",
      ["why"],
      () => Object.entries(this.holes).map(([why, total]) => [{ why }, total]),
    );
    scraped(registry, {
      "shield_journal_unkept_total": [
        "Users' parts of blocks that were not written because the bucket of keys was full.",
        unkept,
      ],
      "shield_journal_queue_bytes": ["Bytes of decisions that are not stored yet.", queue_bytes],
      "shield_journal_keys": [
        "Keys of users in memory, to write and to read the journal.",
        keys_held,
      ],
    });
  }
}
