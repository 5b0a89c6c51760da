/**
 * The metrics of a Brain's presence, on the registry of the process. Labels come from closed sets, never from a
 * message.
 */
import { QuantileReader, totalOf } from "../../shared/cluster/cluster_node.ts";
import { Histogram, LAG_SECONDS, metricsOn, scraped } from "../../shared/metrics/metrics.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import type { WriterState } from "../../shared/presence/types.ts";
import type { Refuse as RefuseFor } from "../ring/refusals.ts";

/** Why a message, or a part of one, was refused. */
export type RefusalReason =
  /** It is not a message, or has invalid values. */
  | "undecodable"
  /** It announces another writer than the one of its subject. */
  | "foreign-writer"
  /** Its incarnation begins more than a day from now. */
  | "future-clock"
  /** A younger incarnation of its node is known. */
  | "stale-incarnation"
  /** This Brain has forgotten its incarnation. */
  | "forgotten"
  /** It is a delta that breaks the rules of `shared/presence/state.ts`. */
  | "invalid-delta"
  /** It has metadata over `limits.member_meta_bytes`. */
  | "meta-too-large"
  /** It is an answer with inconsistent or missing pages. */
  | "cut-snapshot"
  /** It would exceed `presence.members_per_brain`. */
  | "member-limit"
  | "writer-limit"
  /** It is a request above the number that a Brain answers concurrently. */
  | "busy";

/** Counts and logs a refusal; always returns false, so that a check can end with it. */
export type Refuse = RefuseFor<RefusalReason>;

/** How long the lag of a merge counts as current. */
const LATEST_MS = 60_000;
const MINUTE_MS = 60_000;
const WRITER_STATES: readonly WriterState[] = ["up", "down", "forgotten"];

/** The metrics of presence. */
export type BrainPresenceMetrics = ReturnType<typeof createBrainPresenceMetrics>;

/** Sets the gauge of writers by state. */
export function showWriters(
  metrics: BrainPresenceMetrics,
  count: Readonly<Record<WriterState, number>>,
): void {
  for (const state of WRITER_STATES) metrics.writers.set({ state }, count[state]);
}

/**
 * The largest value of the last one to two minutes, kept in two halves; the older one is dropped. Reading changes
 * nothing, so scrapes are independent, and one scrape a minute, Prometheus' default, misses no value. Times in ms.
 */
class RecentMax {
  #minute = -Infinity;
  #current = 0;
  #before = 0;

  observe(value: number, now_ms: number): void {
    this.#turn(now_ms);
    if (value > this.#current) this.#current = value;
  }

  read(now_ms: number): number {
    this.#turn(now_ms);
    return Math.max(this.#current, this.#before);
  }

  #turn(now_ms: number): void {
    const minute = Math.floor(now_ms / MINUTE_MS);
    if (minute === this.#minute) return;
    this.#before = minute === this.#minute + 1 ? this.#current : 0;
    this.#current = 0;
    this.#minute = minute;
  }
}

/** The metrics of lag; `now` is the observers' clock, in ms. */
function lagMetrics(registry: Registry, now: () => number) {
  const convergence_seconds = new Histogram({
    name: "consistency_convergence_seconds",
    help: "From the stamp of a change at its Shield to its merge here, in seconds. Changes older " +
      "than this Brain are not counted.",
    buckets: [...LAG_SECONDS, 5, 10, 30],
    registers: [registry],
  });
  const recent = new RecentMax();
  let latest_seconds = 0;
  let latest_ms = -Infinity;
  scraped(registry, {
    "consistency_convergence_lag": [
      "What the latest convergence took, in seconds: the oldest of the changes that were merged " +
      "last. 0 when none was merged for a minute.",
      () => now() - latest_ms > LATEST_MS ? 0 : latest_seconds,
    ],
    "consistency_convergence_lag_max": [
      "The largest of consistency_convergence_seconds in the last one to two minutes, in seconds.",
      () => recent.read(now()),
    ],
  });
  return {
    /** Records the lag of one change merged at `now_ms`; a negative lag (clock skew) counts as 0. */
    observeLag: (lag_ms: number, now_ms: number) => {
      const seconds = Math.max(lag_ms, 0) / 1_000;
      recent.observe(seconds, now_ms);
      // The changes of one announcement are merged at the same time.
      if (now_ms !== latest_ms || seconds > latest_seconds) latest_seconds = seconds;
      latest_ms = now_ms;
      convergence_seconds.observe(seconds);
    },
  };
}

/** Registers all metrics; once per registry. `now` is the clock of the presence they measure, in ms. */
export function createBrainPresenceMetrics(registry: Registry, now: () => number) {
  const { counter, gauge } = metricsOn(registry);
  return {
    ...lagMetrics(registry, now),
    members: gauge(
      "brain_presence_members",
      "Members held, those of Shields that are down too; presence.members_per_brain bounds it.",
    ),
    writers: gauge("brain_presence_writers", "Shields that this Brain knows, by state.", "state"),
    deltas: counter("brain_presence_deltas_total", "Deltas merged, by how they came.", "source"),
    gaps: counter("brain_presence_gaps_total", "Announcements before which something is missing."),
    full_syncs: counter(
      "brain_presence_full_syncs_total",
      "Pulls that were answered with everything a Shield has.",
    ),
    pulls: counter(
      "brain_presence_pulls_total",
      "Questions for missing changes, by end.",
      "outcome",
    ),
    pulls_pending: gauge("brain_presence_pulls_pending", "Questions that wait for their answer."),
    pulls_served: counter(
      "brain_presence_pulls_served_total",
      "Answers to others' questions: a delta, everything (full), or that the Shield is unknown.",
      "kind",
    ),
    refused: counter("brain_presence_refused_total", "What was not taken, by reason.", "reason"),
    room_updates: counter("brain_presence_room_updates_total", "Updates of rooms sent to Shields."),
    room_snapshots: counter(
      "brain_presence_room_snapshots_total",
      "Member lists of rooms sent to Shields.",
    ),
    room_differs: counter(
      "brain_presence_room_differs_total",
      "Rooms in which a Shield that asked stood elsewhere.",
    ),
    rooms_emitted: gauge("brain_presence_rooms_emitted", "Rooms that this Brain speaks for."),
    send_failures: counter(
      "brain_presence_send_failures_total",
      "Messages that the Spine did not take.",
    ),
  };
}

/** A reader of the figures that operators see: values since its own previous read. */
export function presenceFigures(registry: Registry, now: () => number) {
  const convergence = new QuantileReader(registry, "consistency_convergence_seconds", now);
  return async () => {
    const convergence_lag_ms = await convergence.read_ms();
    const [members, shields] = await Promise.all([
      totalOf(registry, "brain_presence_members"),
      totalOf(registry, "brain_presence_writers", { state: "up" }),
    ]);
    const lag = convergence_lag_ms === undefined ? {} : { convergence_lag_ms };
    return { gauges: { members, shields, ...lag } };
  };
}
