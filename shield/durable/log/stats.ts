/**
 * The counters of durable rooms on this Shield. The message path adds to plain numbers; prom-client reads them at a
 * scrape. Labels come from closed sets, or are limited here.
 */
import { Histogram, type Registry } from "prom-client";
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
type RecoveryOutcome =
  | "recovered"
  | "epoch-changed"
  | "history-trimmed"
  | "erased"
  | "too-many"
  | "offset-ahead"
  | "failed";
type FillOutcome = "filled" | "lost" | "epoch-changed";
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
type DropReason = "unreadable" | "old-stream" | "repeated" | "buffer-full" | "unproven";

/** Totals since the start of the process, and gauges that their owners set. */
export class DurableStats {
  /** Publishes that wait for the log's acknowledgement, and their bytes. */
  pending_appends = 0;
  pending_bytes = 0;
  /** Rooms with a followed log on this Shield, and the bytes of their cached messages. */
  open_rooms = 0;
  cache_bytes = 0;
  readonly #registry: Registry;
  readonly #classes = new Map<string, number>();
  readonly #refusals: Record<string, number> = {};
  readonly #reads: Record<string, number> = {};
  readonly #failures: Record<string, number> = {};
  readonly #recoveries: Record<string, number> = {};
  readonly #fills: Record<string, number> = {};
  readonly #drops: Record<string, number> = {};
  readonly #lag: Histogram;
  #stored = 0;
  #deduplicated = 0;
  #recovered = 0;

  /** Registers the metrics on `registry`; make it once per registry. */
  constructor(registry: Registry) {
    this.#registry = registry;
    this.#registerTotals();
    this.#registerFamilies();
    this.#registerLevels();
    const name = "shield_log_lag_seconds";
    const help = "Time from the log's acceptance of a message to its arrival on this Shield.";
    this.#lag = new Histogram({ name, help, buckets: LAG_BUCKETS_SECONDS, registers: [registry] });
  }

  /** Counts a message that the log has acknowledged; `pattern` is that of its room class, "" for the default. */
  stored(pattern: string, bytes: number): void {
    this.#stored++;
    const classes = this.#classes;
    const name = pattern === "" ? DEFAULT_CLASS : pattern;
    const label = classes.has(name) || classes.size < CLASSES_MAX ? name : OTHER;
    classes.set(label, (classes.get(label) ?? 0) + bytes);
  }

  /** Counts a publish with a duplicate message id. */
  deduplicated(): void {
    this.#deduplicated++;
  }

  /** Counts a publish that was refused because of the log. */
  refused(reason: string): void {
    bump(this.#refusals, reason);
  }

  /** Counts one request to the log that reads. */
  read(purpose: ReadPurpose): void {
    bump(this.#reads, purpose);
  }

  /** Counts one request to the log that failed and will be repeated. */
  failed(purpose: ReadPurpose): void {
    bump(this.#failures, purpose);
  }

  recovered(outcome: RecoveryOutcome, messages: number): void {
    bump(this.#recoveries, outcome);
    this.#recovered += messages;
  }

  gapFill(outcome: FillOutcome): void {
    bump(this.#fills, outcome);
  }

  dropped(reason: DropReason): void {
    bump(this.#drops, reason);
  }

  /**
   * Observes the time in ms from the log's acceptance of a message to its arrival here. A negative time (clocks differ)
   * counts as 0.
   */
  lag(ms: number): void {
    this.#lag.observe(Math.max(ms, 0) / 1_000);
  }

  #registerTotals(): void {
    const sum = scrapedCounter.bind(undefined, this.#registry);
    const stored = "Publishes to durable rooms that the log has acknowledged.";
    sum("shield_log_stored_total", stored, () => this.#stored);
    const deduplicated = "Duplicate publishes to durable rooms, which the log had already stored.";
    sum("shield_log_deduplicated_total", deduplicated, () => this.#deduplicated);
    const recovered = "Missed messages that returning subscribers received.";
    sum("shield_log_recovered_messages_total", recovered, () => this.#recovered);
  }

  #registerFamilies(): void {
    const bytes =
      "Bytes of acknowledged publishes to durable rooms, by the pattern of the room class.";
    const classes = () => [...this.#classes].map(([name, sum]) => [{ class: name }, sum] as const);
    scrapedCounters(this.#registry, "shield_log_stored_bytes_total", bytes, ["class"], classes);
    const family = scrapedFamily.bind(undefined, this.#registry);
    const refused = "Publishes to durable rooms that were refused because of the log, by reason.";
    family("shield_log_refused_total", refused, "reason", () => this.#refusals);
    const recoveries = "Subscriptions with a position, by outcome.";
    family("shield_log_recoveries_total", recoveries, "outcome", () => this.#recoveries);
    const fills = "Gaps in live messages, by outcome.";
    family("shield_log_gap_fills_total", fills, "outcome", () => this.#fills);
    const reads = "Requests that read a log, by purpose.";
    family("shield_log_reads_total", reads, "purpose", () => this.#reads);
    const failures = "Failed requests that read a log, by purpose.";
    family("shield_log_failures_total", failures, "purpose", () => this.#failures);
    const drops = "Live messages of durable rooms that were dropped, by reason.";
    family("shield_log_dropped_total", drops, "reason", () => this.#drops);
  }

  #registerLevels(): void {
    const level = scrapedGauge.bind(undefined, this.#registry);
    const appends = "Publishes that wait for the log's acknowledgement.";
    level("shield_log_pending_appends", appends, () => this.pending_appends);
    const bytes = "Bytes of publishes that wait for the log's acknowledgement.";
    level("shield_log_pending_bytes", bytes, () => this.pending_bytes);
    const rooms = "Durable rooms with a subscriber on this Shield.";
    level("shield_log_open_rooms", rooms, () => this.open_rooms);
    const cache = "Bytes of messages that are cached for returning subscribers.";
    level("shield_log_cache_bytes", cache, () => this.cache_bytes);
  }
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
