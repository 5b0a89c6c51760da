/**
 * The counters of presence on this Shield: plain numbers that prom-client reads at a scrape. Labels come from closed
 * sets, never from a client or another process.
 */
import { type Registry, scrapedGauge } from "../../shared/metrics/metrics.ts";
import { scrapedCounter, scrapedFamily } from "../../shared/metrics/metrics_plain.ts";
import { bump } from "../stats/stats.ts";

/** Running totals since the start of the process, and current gauges. */
export interface PresenceStats {
  /** Members that this Shield announces, held ones included. */
  members: number;
  /** Members whose connection is lost and whose user may return. */
  held_members: number;
  /** Rooms with a table here. */
  rooms: number;
  /** Subscriptions with presence. */
  watchers: number;
  /** Brains that this Shield considers alive. */
  live_brains: number;
  /** Members that left and are not in their room's journal yet, as far as this Shield knows. */
  stays: number;
  /** Stays that were dropped at the limit. */
  stays_missed: number;
  announcements: number;
  announced_changes: number;
  heartbeats: number;
  /** New incarnations taken because the cluster had forgotten the old one. */
  reincarnations: number;
  checks: number;
  /** Checked rooms whose owner had advanced. */
  check_differences: number;
  /** Members sent to clients; each counts once per batch and room. */
  reported_members: number;
  /** Messages that the Spine refused. */
  unsent: number;
  /** Requested snapshots, by outcome. */
  readonly pulls: Record<string, number>;
  /** Answers to Brains that missed something, by form. */
  readonly answers: Record<string, number>;
  /** Messages of other processes that were dropped, by reason. */
  readonly refused: Record<string, number>;
  /** Batches sent to clients, by event type. */
  readonly events: Record<string, number>;
}

/** All counts at zero. */
export function createPresenceStats(): PresenceStats {
  return {
    members: 0,
    held_members: 0,
    rooms: 0,
    watchers: 0,
    live_brains: 0,
    stays: 0,
    stays_missed: 0,
    announcements: 0,
    announced_changes: 0,
    heartbeats: 0,
    reincarnations: 0,
    checks: 0,
    check_differences: 0,
    reported_members: 0,
    unsent: 0,
    pulls: {},
    answers: {},
    refused: {},
    events: {},
  };
}

/** The outcome of a requested snapshot. */
export type PullOutcome =
  | "applied"
  | "gap"
  | "outdated"
  | "behind"
  | "unanswered"
  | "cut"
  | "unwanted";

/** Why a message of another process was dropped. */
type RefusedReason =
  | "undecodable"
  | "wrong-subject"
  | "unexpected-kind"
  | "entry-of-another-room"
  | "mixed-pages"
  | "snapshot-too-large"
  | "not-asked-for";

/** Counts a dropped message of another process. */
export function refuse(stats: PresenceStats, reason: RefusedReason): void {
  bump(stats.refused, reason);
}

type Level = "members" | "held_members" | "rooms" | "watchers" | "live_brains" | "stays";
const LEVELS: Record<Level, [name: string, help: string]> = {
  members: ["shield_presence_members", "Members that this Shield announces."],
  held_members: [
    "shield_presence_held_members",
    "Members whose connection is lost, in rooms with a grace time.",
  ],
  rooms: ["shield_presence_rooms", "Rooms whose members this Shield keeps for its clients."],
  watchers: ["shield_presence_watchers", "Subscriptions with presence."],
  live_brains: ["shield_presence_live_brains", "Brains that this Shield considers alive."],
  stays: [
    "shield_presence_unconfirmed_stays",
    "Members that left and are not confirmed in their room's journal.",
  ],
};

type Total =
  | "stays_missed"
  | "announcements"
  | "announced_changes"
  | "heartbeats"
  | "reincarnations"
  | "checks"
  | "check_differences"
  | "reported_members"
  | "unsent";
const TOTALS: Record<Total, [name: string, help: string]> = {
  stays_missed: [
    "shield_presence_missed_stays_total",
    "Members that left and were dropped at the limit; their room's journal records a gap.",
  ],
  announcements: ["shield_presence_announcements_total", "Announcements with changes."],
  announced_changes: ["shield_presence_announced_changes_total", "Joins and leaves announced."],
  heartbeats: ["shield_presence_heartbeats_total", "Announcements without changes."],
  reincarnations: [
    "shield_presence_reincarnations_total",
    "New incarnations taken because the cluster had dropped the old one.",
  ],
  checks: ["shield_presence_checks_total", "Rooms whose position was checked with their owner."],
  check_differences: [
    "shield_presence_check_differences_total",
    "Checked rooms whose owner had advanced without notice.",
  ],
  reported_members: [
    "shield_presence_told_members_total",
    "Members sent to clients, each once per batch and room.",
  ],
  unsent: ["shield_presence_unsent_total", "Presence messages that the Spine refused."],
};

type Family = "pulls" | "answers" | "refused" | "events";
const FAMILIES: Record<Family, [name: string, label: string, help: string]> = {
  pulls: ["shield_presence_pulls_total", "outcome", "Requested snapshots of rooms, by outcome."],
  answers: ["shield_presence_answers_total", "form", "Answers to Brains that missed something."],
  refused: [
    "shield_presence_refused_total",
    "reason",
    "Messages of other processes that were dropped, by reason.",
  ],
  events: ["shield_presence_events_total", "type", "Batches sent to clients, by event type."],
};

/** Registers the metrics; call it once per registry. */
export function registerPresenceStats(stats: PresenceStats, registry: Registry): void {
  for (const [key, [name, help]] of Object.entries(LEVELS) as [Level, [string, string]][]) {
    scrapedGauge(registry, name, help, () => stats[key]);
  }
  for (const [key, [name, help]] of Object.entries(TOTALS) as [Total, [string, string]][]) {
    scrapedCounter(registry, name, help, () => stats[key]);
  }
  for (
    const [key, [name, label, help]] of Object.entries(FAMILIES) as [
      Family,
      [string, string, string],
    ][]
  ) {
    scrapedFamily(registry, name, help, label, () => stats[key]);
  }
}
