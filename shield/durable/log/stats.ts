/**
 * The counters of durable rooms on this Shield. The message path adds to plain numbers; prom-client reads them at a
 * scrape. Labels come from closed sets, or are limited here.
 */
import { Gauge, Histogram } from "prom-client";
import type { Registry } from "prom-client";
import { scrapedGauge } from "../../../shared/metrics/metrics.ts";
import {
  scrapedCounter,
  scrapedCounters,
  scrapedFamily,
} from "../../../shared/metrics/metrics_plain.ts";
import { bump } from "../../stats/stats.ts";

/** The most room classes with series of their own; all others share one. */
const CLASSES_MAX = 50;
const OTHER = "other";
/** The label of rooms that belong to no class. */
const DEFAULT_CLASS = "default";
const LAG_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** The outcome of a SUB with a position. `failed`: the log was unreachable. */
export type RecoveryOutcome =
  | "recovered"
  | "epoch-changed"
  | "history-trimmed"
  | "erased"
  | "too-many"
  | "offset-ahead"
  | "failed";
/** The outcome of a gap in the live messages. */
export type FillOutcome = "filled" | "lost" | "epoch-changed";
/** The purpose of a request to the log. `lag`: whether a replica is stale, or messages are missing. */
export type ReadPurpose =
  | "start"
  | "fill"
  | "lag"
  | "stream"
  | "verify"
  | "recovery"
  | "history"
  | "status"
  | "heads";
/**
 * Why a live message was not taken. A `buffer-full` one is read from the log later, as is an `unproven` one, which
 * arrived before the log was compared after a reconnect.
 */
export type DropReason = "unreadable" | "old-stream" | "repeated" | "buffer-full" | "unproven";

/** Totals since the start of the process, and gauges that their owners set. */
export interface DurableStats {
  /** Publishes that wait for the log's acknowledgement, and their bytes. */
  pending_appends: number;
  pending_bytes: number;
  /** Rooms with a followed log on this Shield, and the bytes of their cached messages. */
  open_rooms: number;
  cache_bytes: number;
  /**
   * Counts a message that the log has acknowledged; `pattern` is that of its room class, "" for the
   * default.
   */
  stored(pattern: string, bytes: number): void;
  /** Counts a publish with a duplicate message id. */
  deduplicated(): void;
  /** Counts a publish that was refused because of the log. */
  refused(reason: string): void;
  /** Counts one request to the log that reads. */
  read(purpose: ReadPurpose): void;
  /** Counts one request to the log that failed and will be repeated. */
  failed(purpose: ReadPurpose): void;
  recovered(outcome: RecoveryOutcome, messages: number): void;
  gapFill(outcome: FillOutcome): void;
  dropped(reason: DropReason): void;
  /**
   * Observes the time in ms from the log's acceptance of a message to its arrival here. A negative time (clocks differ)
   * counts as 0.
   */
  lag(ms: number): void;
}

class Totals {
  pending_appends = 0;
  pending_bytes = 0;
  open_rooms = 0;
  cache_bytes = 0;
  stored_messages = 0;
  deduplicated_messages = 0;
  recovered_messages = 0;
  readonly classes = new Map<string, number>();
  readonly refusals: Record<string, number> = {};
  readonly reads: Record<string, number> = {};
  readonly failures: Record<string, number> = {};
  readonly recoveries: Record<string, number> = {};
  readonly fills: Record<string, number> = {};
  readonly drops: Record<string, number> = {};
  lag_histogram: Histogram | undefined;

  stored(pattern: string, bytes: number): void {
    this.stored_messages++;
    const { classes } = this;
    const name = pattern === "" ? DEFAULT_CLASS : pattern;
    const label = classes.has(name) || classes.size < CLASSES_MAX ? name : OTHER;
    classes.set(label, (classes.get(label) ?? 0) + bytes);
  }

  deduplicated(): void {
    this.deduplicated_messages++;
  }

  refused(reason: string): void {
    bump(this.refusals, reason);
  }

  read(purpose: ReadPurpose): void {
    bump(this.reads, purpose);
  }

  failed(purpose: ReadPurpose): void {
    bump(this.failures, purpose);
  }

  recovered(outcome: RecoveryOutcome, messages: number): void {
    bump(this.recoveries, outcome);
    this.recovered_messages += messages;
  }

  gapFill(outcome: FillOutcome): void {
    bump(this.fills, outcome);
  }

  dropped(reason: DropReason): void {
    bump(this.drops, reason);
  }

  lag(ms: number): void {
    this.lag_histogram?.observe(Math.max(ms, 0) / 1_000);
  }
}

function registerTotals(registry: Registry, totals: Totals): void {
  const sum = (name: string, help: string, read: () => number) =>
    scrapedCounter(registry, name, help, read);
  const family = (name: string, help: string, label: string, values: Record<string, number>) =>
    scrapedFamily(registry, name, help, label, () => values);
  sum(
    "shield_log_stored_total",
    "Publishes to durable rooms that the log has acknowledged.",
    () => totals.stored_messages,
  );
  scrapedCounters(
    registry,
    "shield_log_stored_bytes_total",
    "Bytes of acknowledged publishes to durable rooms, by the pattern of the room class.",
    ["class"],
    () => [...totals.classes].map(([name, bytes]) => [{ class: name }, bytes]),
  );
  sum(
    "shield_log_deduplicated_total",
    "Duplicate publishes to durable rooms, which the log had already stored.",
    () => totals.deduplicated_messages,
  );
  sum(
    "shield_log_recovered_messages_total",
    "Missed messages that returning subscribers received.",
    () => totals.recovered_messages,
  );
  family(
    "shield_log_refused_total",
    "Publishes to durable rooms that were refused because of the log, by reason.",
    "reason",
    totals.refusals,
  );
  family(
    "shield_log_recoveries_total",
    "Subscriptions with a position, by outcome.",
    "outcome",
    totals.recoveries,
  );
  family(
    "shield_log_gap_fills_total",
    "Gaps in live messages, by outcome.",
    "outcome",
    totals.fills,
  );
  family(
    "shield_log_reads_total",
    "Requests that read a log, by purpose.",
    "purpose",
    totals.reads,
  );
  family(
    "shield_log_failures_total",
    "Failed requests that read a log, by purpose.",
    "purpose",
    totals.failures,
  );
  family(
    "shield_log_dropped_total",
    "Live messages of durable rooms that were dropped, by reason.",
    "reason",
    totals.drops,
  );
}

function registerLevels(registry: Registry, totals: Totals): void {
  const level = (name: string, help: string, read: () => number) => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  };
  level(
    "shield_log_pending_appends",
    "Publishes that wait for the log's acknowledgement.",
    () => totals.pending_appends,
  );
  level(
    "shield_log_pending_bytes",
    "Bytes of publishes that wait for the log's acknowledgement.",
    () => totals.pending_bytes,
  );
  level(
    "shield_log_open_rooms",
    "Durable rooms with a subscriber on this Shield.",
    () => totals.open_rooms,
  );
  level(
    "shield_log_cache_bytes",
    "Bytes of messages that are cached for returning subscribers.",
    () => totals.cache_bytes,
  );
}

/** Makes the totals and registers their metrics on `registry`; call it once per registry. */
export function createDurableStats(registry: Registry): DurableStats {
  const totals = new Totals();
  registerTotals(registry, totals);
  registerLevels(registry, totals);
  totals.lag_histogram = new Histogram({
    name: "shield_log_lag_seconds",
    help: "Time from the log's acceptance of a message to its arrival on this Shield.",
    buckets: LAG_BUCKETS_SECONDS,
    registers: [registry],
  });
  return totals;
}

/** Publishes the limit of `shield_log_pending_bytes` for alerts: `limits.log_pending_bytes`. */
export function registerPendingLimit(registry: Registry, limit_bytes: number): void {
  scrapedGauge(
    registry,
    "shield_log_pending_limit_bytes",
    "Limit of the bytes of publishes that wait for the log; publishes beyond it are refused.",
    () => limit_bytes,
  );
}
