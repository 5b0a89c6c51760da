/**
 * The counters of presence on this Shield: plain numbers that prom-client reads at a scrape. Labels come from closed
 * sets, never from a client or another process.
 */
import { type Registry, scraped } from "../../shared/metrics/metrics.ts";
import { bump } from "../stats/stats.ts";

/** Current values, by their name in code: the name of the metric and its help. */
const LEVELS = {
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
} as const;

/** Running totals since the start of the process. */
const TOTALS = {
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
} as const;

/** Totals by the values of a label. */
const FAMILIES = {
  pulls: ["shield_presence_pulls_total", "outcome", "Requested snapshots of rooms, by outcome."],
  answers: ["shield_presence_answers_total", "form", "Answers to Brains that missed something."],
  refused: [
    "shield_presence_refused_total",
    "reason",
    "Messages of other processes that were dropped, by reason.",
  ],
  events: ["shield_presence_events_total", "type", "Batches sent to clients, by event type."],
} as const;

/** Running totals, and current gauges. */
export type PresenceStats =
  & Record<keyof typeof LEVELS | keyof typeof TOTALS, number>
  & Readonly<Record<keyof typeof FAMILIES, Record<string, number>>>;

/** All counts at zero. */
export function createPresenceStats(): PresenceStats {
  const numbers = Object.keys({ ...LEVELS, ...TOTALS }).map((key) => [key, 0]);
  const families = Object.keys(FAMILIES).map((key) => [key, {}]);
  return Object.fromEntries([...numbers, ...families]);
}

/** Registers the metrics; call it once per registry. */
export function registerPresenceStats(stats: PresenceStats, registry: Registry): void {
  for (const [key, [name, help]] of Object.entries({ ...LEVELS, ...TOTALS })) {
    scraped(registry, { [name]: [help, () => stats[key as keyof typeof LEVELS]] });
  }
  for (const [key, [name, label, help]] of Object.entries(FAMILIES)) {
    scraped(registry, { [name]: [help, label, () => stats[key as keyof typeof FAMILIES]] });
  }
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
